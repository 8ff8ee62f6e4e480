/// The consequence of a denied call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDenial {
    /// The hostcall answers: status 10, errno 76.
    #[default]
    Answer,
    /// The VM ends, as with any trap.
    Trap,
}

impl OnDenial {
    /// Returns the name that configurations give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Trap => "trap",
        }
    }
}
