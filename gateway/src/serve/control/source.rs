//! The file that a reload reads.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, Diagnostic, Noted};

/// The file of a configuration, and what it was when it was read last.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    noted: Noted,
}

impl Source {
    /// Reads a configuration, and keeps where it is. There is no source for what came from standard input.
    ///
    /// # Errors
    /// The errors of [`Config::load`].
    pub fn read_first(path: &Path) -> Result<(Config, Option<Self>), ConfigError> {
        let (config, noted) = Config::load_noting(path);
        let is_file = path != Path::new("-");
        Ok((config?, is_file.then(|| Self { path: path.to_owned(), noted })))
    }

    /// Reads the file again.
    pub(super) fn read(&mut self) -> Result<Config, ConfigError> {
        let (config, noted) = Config::load_noting(&self.path);
        self.noted = noted;
        config
    }

    /// Returns the digest of what was read last, if it could be read.
    pub(super) fn digest(&self) -> Option<String> {
        self.noted.sha256.clone()
    }

    /// Returns a finding about the file.
    pub(super) fn finding(&self, message: impl Into<String>, help: impl Into<String>) -> ConfigError {
        Diagnostic::of_file(&self.path.display().to_string(), message, help).into()
    }
}
