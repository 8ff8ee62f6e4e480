//! `sandboxes`: which plugins share a VM.

use std::path::PathBuf;

use super::process::{Ended, options, print};
use crate::config::Config;
use crate::serve::server::Gateway;

/// Show which plugins share a VM, what each VM is made of, and why plugins that ask for one VM do not share it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration (YAML).
    file: PathBuf,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let gateway = Gateway::prepare_with(Config::load(&self.file)?, options(self.engine.as_deref()))?;
        let sandboxes = gateway.sandboxes();
        print(&if self.json { format!("{:#}\n", sandboxes.to_json()) } else { sandboxes.text() })
    }
}
