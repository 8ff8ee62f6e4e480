//! The file that a reload reads.

use std::path::{Path, PathBuf};

use super::watch::Look;
use crate::config::{Config, ConfigError, Noted};

/// The file of a configuration, and what it was when it was read last.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    noted: Noted,
    /// The files as they were before they were read.
    look: Look,
}

/// A configuration that names other files each time it is read is taken as it is after as many times.
const MOST_READS: usize = 5;

impl Source {
    /// Reads a configuration, and keeps where it is. There is no source for what came from standard input.
    ///
    /// # Errors
    /// The errors of [`Config::load`].
    pub fn read_first(path: &Path) -> Result<(Config, Option<Self>), ConfigError> {
        if path == Path::new("-") {
            return Ok((Config::load(path)?, None));
        }
        let mut source = Self { path: path.to_owned(), noted: Noted::default(), look: Look::default() };
        let config = source.read()?;
        Ok((config, Some(source)))
    }

    /// Reads the file again.
    pub(super) fn read(&mut self) -> Result<Config, ConfigError> {
        let mut reads = 0;
        loop {
            // Before they are read: a change meanwhile is found later.
            self.look = Look::at(&self.path, &self.noted.files);
            let (config, noted) = Config::load_noting(&self.path);
            let named = std::mem::replace(&mut self.noted, noted).files;
            reads += 1;
            // Which files there are is known once it has been read.
            if self.noted.files == named || reads >= MOST_READS {
                return config;
            }
        }
    }

    /// Takes the files to be read as they are now.
    pub(super) fn look_again(&mut self) {
        self.look = self.look.again();
    }

    /// Returns the files as they were before they were read.
    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    /// Returns the digest of what was read last, if it could be read.
    pub(super) fn digest(&self) -> Option<String> {
        self.noted.sha256.clone()
    }
}
