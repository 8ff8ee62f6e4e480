//! `serve`: serves traffic as a configuration says.

mod memory;
mod profile;
mod record;

use std::path::PathBuf;

use super::process::{Ended, options, until_stopped};
use crate::error::ServeError;
use crate::net::passed::Passed;
use crate::serve::control::Source;
use crate::serve::server::{EngineOptions, Gateway};
use crate::serve::signals::Signals;
use crate::serve::upgrade;

/// Serve traffic as a configuration says, until SIGTERM, SIGINT or SIGQUIT.
///
/// Stopping is graceful: no new connection is taken, requests in flight finish, plugins end. A second signal ends the
/// process at once, or drain_delay while that lasts. SIGHUP has the configuration read again. SIGUSR2 starts the same command
/// again, which takes over the listening sockets. SIGUSR1 does nothing but to be logged.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration (YAML).
    file: PathBuf,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Have `/config` of the admin interface show the configurations of plugins and VMs; without it, only their sizes.
    ///
    /// Members that are called like a secret and the values of environment variables stay hidden.
    #[arg(long)]
    admin_show_configuration: bool,

    #[command(flatten)]
    record: record::RecordOptions,

    #[command(flatten)]
    profile: profile::ProfileOptions,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let passed = Passed::from_env().map_err(ServeError::Passed)?;
        let predecessor = passed.channel();
        self.serve(passed).inspect_err(|error| {
            if let Some(channel) = &predecessor {
                upgrade::say_failed(channel, &error.to_string());
            }
        })
    }

    fn serve(&self, passed: Passed) -> Ended {
        let signals = Signals::listen()?;
        let engine = options(self.engine.as_deref());
        let options =
            EngineOptions { samples: self.profile.folder().is_some(), perf_map: self.profile.perf_map(), ..engine };
        let (config, source) = Source::read_first(&self.file)?;
        if config.watch && source.is_none() {
            tracing::warn!("watch: standard input is not watched; start the gateway with a file");
        }
        let mut gateway = Gateway::prepare_with(config, options)?;
        if let Some(source) = source {
            gateway.reload_from(source);
        }
        gateway.use_sockets(passed);
        if self.file.as_os_str() == "-" {
            gateway.refuse_upgrade("its configuration came from standard input; start it with a file");
        } else if self.record.recording().is_some() || self.profile.folder().is_some() {
            gateway.refuse_upgrade(
                "two processes would write into the folder of --record or --profile; stop it and start it again",
            );
        } else {
            gateway.allow_upgrade();
        }
        if self.admin_show_configuration {
            gateway.show_configuration();
        }
        if let Some(recording) = self.record.recording() {
            gateway.record(recording)?;
        }
        if let Some(folder) = self.profile.folder() {
            gateway.profile(folder)?;
        }
        memory::give_back();
        until_stopped(gateway, &signals)
    }
}
