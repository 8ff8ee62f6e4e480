/// The consequence of a denied call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnDenial {
    /// The hostcall answers: status 10, errno 76.
    #[default]
    Answer,
    /// The VM ends, as with any trap.
    Trap,
}
