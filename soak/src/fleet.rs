//! The plugins of the gateway, each on a route of its own, and its configuration.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::broken::{Broken, Fault};

/// The number of plugins.
pub(crate) const PLUGINS: usize = 51;

/// The plugins, and the folder with their modules and the configuration.
pub(crate) struct Fleet {
    folder: PathBuf,
    guest: Vec<u8>,
    engine: String,
    /// The word that each plugin is configured with.
    words: Vec<String>,
    changes: usize,
    /// A port that no listener of the gateway can have.
    taken: TcpListener,
}

impl Fleet {
    /// Writes the modules of all plugins, copies of one that differ in a section that no engine reads, and a configuration.
    pub(crate) fn new(guest: &Path, engine: Option<&str>) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("portcullis-soak-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let guest = fs::read(guest).map_err(|error| format!("--guest {}: {error}", guest.display()))?;
        let engine = engine.map_or_else(String::new, |engine| format!("runtime: {engine}"));
        let fleet = Self {
            folder,
            guest,
            engine,
            words: vec!["w0".to_owned(); PLUGINS],
            changes: 0,
            taken: TcpListener::bind("127.0.0.1:0")?,
        };
        for plugin in 0..PLUGINS {
            fleet.put(&module_name(plugin), &fleet.code(plugin, 0))?;
        }
        fleet.mend()?;
        Ok(fleet)
    }

    /// Changes one plugin, in turn: its code and its configuration alternate. Returns what has changed.
    pub(crate) fn change(&mut self) -> Result<String, Failure> {
        self.changes += 1;
        let plugin = self.changes % PLUGINS;
        if self.changes.is_multiple_of(2) {
            self.put(&module_name(plugin), &self.code(plugin, self.changes))?;
            return Ok(format!("the code of p{plugin:02}"));
        }
        if let Some(word) = self.words.get_mut(plugin) {
            *word = format!("w{}", self.changes);
        }
        self.mend()?;
        Ok(format!("the configuration of p{plugin:02}"))
    }

    /// Returns whether each plugin has had its code and its configuration changed.
    pub(crate) fn has_changed_all(&self) -> bool {
        // The number of plugins is odd: a plugin's turns alternate, too.
        self.changes >= 2 * PLUGINS
    }

    /// Puts a fault where the gateway reads it: into the configuration, or into the module of the first plugin.
    pub(crate) fn break_with(&self, broken: &Broken) -> Result<(), Failure> {
        match &broken.fault {
            Fault::Text { of, by } => {
                let text = self.configuration();
                if !text.contains(of) {
                    return Err(format!("{}: the configuration has no {of:?}", broken.what).into());
                }
                self.put("gateway.yaml", text.replacen(of, by, 1).as_bytes())
            }
            Fault::Module(module) => {
                self.put("broken.wasm", module)?;
                let text = self.configuration().replacen(&module_name(0), "broken.wasm", 1);
                self.put("gateway.yaml", text.as_bytes())
            }
        }
    }

    /// Writes the configuration as it should be.
    pub(crate) fn mend(&self) -> Result<(), Failure> {
        self.put("gateway.yaml", self.configuration().as_bytes())
    }

    /// Returns the configuration as it should be. Deadlines are short, because some of what is broken does not end.
    pub(crate) fn configuration(&self) -> String {
        let folder = self.folder.display();
        let mut text = format!(
            "workers: 2\nadmin: unix:{folder}/admin.sock\ncode_cache: {folder}/cache\nlisteners:\n- name: main\n  \
             address: 127.0.0.1:0\n  routes:\n"
        );
        for plugin in 0..PLUGINS {
            let _ = writeln!(
                text,
                "  - match: {{ prefix: /p{plugin:02}/ }}\n    cluster: echo\n    plugins: [p{plugin:02}]"
            );
        }
        text.push_str("clusters:\n- name: echo\n  echo: {}\nplugins:\n");
        for (plugin, word) in self.words.iter().enumerate() {
            let _ = writeln!(
                text,
                "- name: p{plugin:02}\n  configuration: {word}\n  vm_config:\n    vm_id: v{plugin:02}\n    {}\n    \
                 limits: {{ start_deadline: 500ms, memory: 16MiB }}\n    code: {{ local: {{ filename: {folder}/{} }} }}",
                self.engine,
                module_name(plugin),
            );
        }
        text
    }

    /// Returns an address that this program has.
    pub(crate) fn taken(&self) -> Result<SocketAddr, Failure> {
        Ok(self.taken.local_addr()?)
    }

    /// Returns the folder with all files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file that the gateway's log goes to.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Removes the folder.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Returns a module that no other one is equal to.
    fn code(&self, plugin: usize, change: usize) -> Vec<u8> {
        let mut module = self.guest.clone();
        let content = format!("\x04soak{plugin}-{change}-{}", std::process::id());
        // A custom section; its length fits into one byte.
        module.extend([0, u8::try_from(content.len()).unwrap_or_default()]);
        module.extend(content.as_bytes());
        module
    }

    /// Writes a file so that nobody reads half of it.
    fn put(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let (new, path) = (self.folder.join(format!("{name}.new")), self.folder.join(name));
        fs::write(&new, content)?;
        Ok(fs::rename(new, path)?)
    }
}

/// Returns whether a word is one of those that plugins are configured with.
pub(crate) fn is_word(word: &str) -> bool {
    word.strip_prefix('w').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn module_name(plugin: usize) -> String {
    format!("p{plugin:02}.wasm")
}
