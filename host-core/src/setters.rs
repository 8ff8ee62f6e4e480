//! Methods in place of struct expressions, which other crates cannot use for what may get further fields.

/// Writes a method for each field: `with_FIELD(field: TYPE) -> field;` takes the value and returns the whole changed.
macro_rules! setters {
    ($($method:ident($argument:ty) -> $field:ident;)*) => { $(
        #[doc = concat!("Returns it with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(self, $field: $argument) -> Self {
            Self { $field: $field.into(), ..self }
        }
    )* };
}
pub(crate) use setters;
