use super::SandboxSpec;

/// The fate of plugins that would share a VM, and must not, because they differ in what they may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// They are refused.
    #[default]
    Reject,
    /// Each set of equal ones gets a VM of its own.
    Isolate,
}

impl Sharing {
    /// Returns the name that configurations give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Isolate => "isolate",
        }
    }
}

/// A plugin that is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its name, for messages.
    pub plugin: &'a str,
    /// The VM that it asks for.
    pub spec: SandboxSpec<'a>,
    /// The fate of it where others ask for that VM with other rights.
    pub sharing: Sharing,
}
