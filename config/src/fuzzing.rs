//! Parts of fuzz targets. Without the cfg `fuzzing` there is no such module.

use crate::Plugin;
use crate::plan::rights::Rights;

/// Judges the rights of a plugin: a fault has words.
pub fn rights(plugin: &Plugin) {
    if let Err(error) = Rights::within(plugin.vm.rights.as_ref(), plugin.rights.as_ref()) {
        assert!(!error.to_string().is_empty(), "an error without a word");
    }
}
