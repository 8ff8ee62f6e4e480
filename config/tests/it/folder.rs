//! A folder with plugins in it, and a file of them.

use std::path::PathBuf;

use portcullis::SystemHost;
use portcullis::resources::Host;
use portcullis_config::{LoadOptions, LoadedPlugins, PluginsError, PluginsFile};

/// The smallest plugin.
pub(crate) const PLUGIN: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#;

/// A folder that is removed at the end, with modules in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str, modules: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in modules {
            std::fs::write(folder.join(name), wat::parse_str(text).unwrap()).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn file(&self, text: &str) -> PluginsFile {
        PluginsFile::read(self.write("plugins.yaml", text)).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn load(&self, text: &str) -> Result<LoadedPlugins, PluginsError> {
        self.file(text).load(&LoadOptions::default(), &host)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn host() -> Box<dyn Host> {
    Box::new(SystemHost::new(|_| {}))
}
