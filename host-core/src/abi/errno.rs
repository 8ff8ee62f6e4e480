/// What a WASI preview 1 function returns to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Errno {
    /// No error.
    Success = 0,
    /// Bad file descriptor.
    Badf = 8,
    /// A pointer or length lies outside the guest's memory.
    Fault = 21,
    /// Invalid argument.
    Inval = 28,
    /// No such file or directory.
    Noent = 44,
    /// Function not supported.
    Nosys = 52,
    /// Not a directory.
    Notdir = 54,
    /// Not supported.
    Notsup = 58,
    /// Capability not granted; the answer to a denied WASI function.
    Notcapable = 76,
}
