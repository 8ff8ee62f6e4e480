//! Values that stand elsewhere, as a document has read them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

/// A value that stands elsewhere. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The value; never empty.
    pub text: String,
    /// Its file, if it is in one.
    pub file: Option<PathBuf>,
    /// The place in words, such as `the file /run/secrets/key`.
    pub place: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The values that a document has read.
#[derive(Default)]
pub(super) struct Known {
    pub(super) by_place: BTreeMap<String, Rc<Secret>>,
    pub(super) bytes: usize,
}
