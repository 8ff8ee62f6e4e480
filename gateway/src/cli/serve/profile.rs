//! The options of `serve` for profiles.

use std::path::{Path, PathBuf};

use clap::Args;

/// Options of `serve` for measuring plugins.
#[derive(Args, Debug)]
pub(super) struct ProfileOptions {
    /// Measure where plugins spend their time, and write it into this folder every 10 seconds and at the end.
    ///
    /// profile.txt and profile.json have the calls, times and bytes of each callback and hostcall. On wasmtime,
    /// PLUGIN.WORKER.json has samples of the functions that ran, for the Firefox profiler (profiler.firefox.com); it is
    /// written when the VM ends. All VMs are measured, but those that --record records.
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,

    /// Write the names of compiled functions to /tmp/perf-PID.map, where Linux's `perf report` looks for them.
    #[arg(long)]
    perf_map: bool,
}

impl ProfileOptions {
    /// Returns the folder that the profile is written into, if there is to be one.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.profile.as_deref()
    }

    pub(super) fn perf_map(&self) -> bool {
        self.perf_map
    }
}
