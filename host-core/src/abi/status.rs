/// The result of a `proxy_*` hostcall.
///
/// Values 5, 9 and 11 are not in the specification but are used by deployed hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// The call succeeded.
    Ok = 0,
    /// The value, key, id or map does not exist.
    NotFound = 1,
    /// An argument is out of its range, or not allowed in this phase.
    BadArgument = 2,
    /// A value cannot be serialized for the guest.
    SerializationFailure = 3,
    /// A value from the guest cannot be parsed.
    ParseFailure = 4,
    /// An expression could not be evaluated.
    BadExpression = 5,
    /// A pointer or length lies outside the guest's memory.
    InvalidMemoryAccess = 6,
    /// The queue is empty.
    Empty = 7,
    /// The compare-and-swap value does not match.
    CasMismatch = 8,
    /// A result has an unexpected type.
    ResultMismatch = 9,
    /// The host could not do it; also the answer to a denied hostcall.
    InternalFailure = 10,
    /// The connection broke.
    BrokenConnection = 11,
    /// This host does not implement the hostcall.
    Unimplemented = 12,
}

impl Status {
    /// Every status, at its number.
    const ALL: [Self; 13] = [
        Self::Ok,
        Self::NotFound,
        Self::BadArgument,
        Self::SerializationFailure,
        Self::ParseFailure,
        Self::BadExpression,
        Self::InvalidMemoryAccess,
        Self::Empty,
        Self::CasMismatch,
        Self::ResultMismatch,
        Self::InternalFailure,
        Self::BrokenConnection,
        Self::Unimplemented,
    ];

    /// Returns the status of a number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_at_its_number() {
        for (number, status) in (0..).zip(Status::ALL) {
            assert_eq!(status as i32, number);
        }
        assert_eq!(Status::from_number(13), None);
        assert_eq!(Status::from_number(-1), None);
    }
}
