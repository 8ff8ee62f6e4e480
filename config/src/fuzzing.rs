//! Parts of fuzz targets. Without the cfg `fuzzing` there is no such module.

use crate::plan::rights::Rights;
use crate::{ConfigError, Plugin, PluginsFile};

/// Reads any text as a file of plugins and as a filter of Envoy: twice the same, and a fault has words.
pub fn plugins(text: &str) {
    let reads: [fn(&str, &str) -> Result<PluginsFile, ConfigError>; 2] =
        [PluginsFile::parse, |name, text| PluginsFile::from_envoy(text, name)];
    for read in reads {
        match (read("fuzz.yaml", text), read("fuzz.yaml", text)) {
            (Ok(file), Ok(again)) => {
                assert!(file == again, "the same text is read in two ways");
                file.plugins().iter().for_each(rights);
            }
            (Err(error), Err(again)) => {
                assert_eq!(error, again);
                assert!(
                    error.diagnostics().iter().all(|found| !found.message.is_empty() && !found.help.is_empty()),
                    "{error}"
                );
            }
            _ => panic!("the same text is right and wrong"),
        }
    }
}

/// Judges the rights of a plugin: a fault has words.
pub fn rights(plugin: &Plugin) {
    if let Err(error) = Rights::within(plugin.vm.rights.as_ref(), plugin.rights.as_ref()) {
        assert!(!error.to_string().is_empty(), "an error without a word");
    }
}
