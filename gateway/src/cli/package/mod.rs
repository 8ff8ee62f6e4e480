//! `package`: a plugin with the rights that it requests, signed, and as an image of a registry.

mod oci;

use std::path::{Path, PathBuf};

use portcullis::input::{LARGEST_PLUGIN, read_file};
use portcullis::package::{MOST_REQUESTED, PrivateKey, sign, with_requested_rights};
use portcullis_config::plan::requested;

use super::process::{Ended, print};
use crate::error::ServeError;

/// Write the rights that a plugin requests into it, sign it, and lay it out as an image.
///
/// The rights grant nothing: a gateway refuses a plugin that requests more than its configuration allows, so that an
/// update that needs more is noticed before it serves. The signature is the module's own, which
/// `verify: [{module_signature: ...}]` checks. What is written into a signed module afterwards breaks it: compile first.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plugin (.wasm).
    plugin: PathBuf,

    /// The file to write the plugin to.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// A file with the rights that the plugin requests: a `capability_restriction_config`, as `portcullis inspect --yaml` prints it.
    #[arg(long, value_name = "FILE")]
    rights: Option<PathBuf>,

    /// The private key to sign with, in PEM (`openssl genpkey -algorithm ed25519`).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// A folder to write the same as an OCI image layout to, for tools that push it; made if it is not there.
    #[arg(long, value_name = "DIR")]
    oci: Option<PathBuf>,
}

/// The most bytes of a file with a key.
const LARGEST_KEY: u64 = 64 << 10;

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let mut module = read(&self.plugin, LARGEST_PLUGIN)?;
        let (mut done, mut requested) = (Vec::new(), None);
        if let Some(path) = &self.rights {
            let text = text(path, MOST_REQUESTED as u64)?;
            let rights = requested::to_text(&requested::of_file(&path.display().to_string(), &text)?);
            module = with_requested_rights(&module, &rights).map_err(|error| refused(&self.plugin, &error))?;
            done.push("requests rights");
            requested = Some(rights);
        }
        if let Some(path) = &self.key {
            let key = PrivateKey::from_pem(&text(path, LARGEST_KEY)?).map_err(|error| refused(path, &error))?;
            module = sign(&module, &key).map_err(|error| refused(&self.plugin, &error))?;
            done.push("is signed");
        }
        write(&self.output, &module)?;
        let mut out = format!("{}: {} bytes", self.output.display(), module.len());
        done.iter().for_each(|what| out.push_str(&format!(", {what}")));
        if let Some(folder) = &self.oci {
            let title = self.output.file_name().unwrap_or_default().to_string_lossy();
            let digest = oci::write(folder, &module, &title, requested.as_deref())
                .map_err(|error| ServeError::File { operation: "write into", path: folder.clone(), error })?;
            out.push_str(&format!("\n{}: {digest}", folder.display()));
        }
        print(&(out + "\n"))
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, ServeError> {
    let failed = |error| ServeError::File { operation: "read", path: path.to_owned(), error };
    read_file(path, most).map_err(failed)
}

fn text(path: &Path, most: u64) -> Result<String, ServeError> {
    String::from_utf8(read(path, most)?).map_err(|error| refused(path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ServeError> {
    std::fs::write(path, bytes).map_err(|error| ServeError::File { operation: "write", path: path.to_owned(), error })
}

/// Returns the error about a file that cannot be used.
fn refused(path: &Path, error: &dyn std::error::Error) -> ServeError {
    ServeError::Package { path: path.to_owned(), problem: error.to_string() }
}
