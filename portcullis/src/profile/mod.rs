//! Profiles: where plugins spend their time, as files in a folder.
//!
//! `profile.json` has for each plugin how often each callback and hostcall ran, for how long, and with how many bytes, as
//! [`core::profile`](portcullis_core::observe::profile) measures it, all threads together. `profile.txt` is the same for people.
//! Times are in nanoseconds, sizes in bytes:
//!
//! ```json
//! {
//!   "profile": 1, "portcullis": "0.1.0", "units": {"time": "ns", "size": "bytes"},
//!   "elapsed": 61000000000, "threads": ["worker-0", "worker-1"],
//!   "plugins": [{
//!     "vm": "tour", "engine": "wasmtime", "plugin": "tour", "threads": 2, "time": 90000,
//!     "guest": [{"name": "proxy_on_request_headers", "calls": 4, "total": 80000, "own": 30000, "max": 25000, "traps": 0}],
//!     "hostcalls": [{
//!       "name": "proxy_get_header_map_pairs", "calls": 4, "total": 50000, "own": 20000, "max": 15000, "traps": 0,
//!       "bytes_in": 600, "bytes_out": 0, "failures": {"NotFound": 1}
//!     }]
//!   }]
//! }
//! ```
//!
//! `plugin` is `null` for the time of a VM before any plugin existed. In `guest`, `(instantiation)` is the making of the VM
//! with its start section, and `(allocator)` the runs of the plugin's allocator by hostcalls. `time` is the sum of all
//! `own`; rows are sorted by `own`. `bytes_in` went into the plugin's memory, `bytes_out` out of it.
//!
//! `NAME.THREAD.json`, where the engine can, are samples of one VM for the Firefox profiler.
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis::engine::EngineSettings;
//! use portcullis::model::Plugin;
//! use portcullis::profile::{Profiler, profiled};
//! use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost, Worker};
//!
//! # let folder = std::env::temp_dir().join(format!("portcullis-doc-profile-{}", std::process::id()));
//! # struct Remove<'a>(&'a std::path::Path);
//! # impl Drop for Remove<'_> { fn drop(&mut self) { let _ = std::fs::remove_dir_all(self.0); } }
//! # let _remove = Remove(&folder);
//! # let plugin = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
//! #     (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#)?;
//! let module = Arc::new(Module::load(&DefaultEngine::new(&EngineSettings::default())?, plugin.into())?);
//! let profiler = Profiler::open(&folder, 0, Arc::new(|path, error| eprintln!("{}: {error}", path.display())))?;
//! let module = Arc::new(profiled(&module, "example", &Arc::new(profiler))?);
//!
//! let mut worker = Worker::new(|| Box::new(SystemHost::new(|_| {})));
//! worker.load(&[PluginSpec::new(Plugin::new("example"), module)])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod folder;
mod report;
mod samples;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use folder::Folder;
use portcullis_chain::{LoadError, Module};
use portcullis_core::engine::{AnyModule, EngineError, Guest, StartError};
use portcullis_core::model::Limits;
use portcullis_core::observe::{profile::Profile, profile::Samples, profile::profile, profile::snapshot};
use portcullis_core::vm::VmState;
pub use report::{GuestRow, HostcallRow, PluginReport, Report, Units};
use samples::with_readable_names;

use crate::private;
pub use crate::private::OnFileError;
use crate::wrapped::wrapped;

/// The version of the format of `profile.json`, which says it.
pub const FORMAT: u32 = 1;

/// Measures the VMs of modules that are [`profiled`], and keeps the profile in a folder.
pub struct Profiler {
    folder: Folder,
    begin: Instant,
    profiles: Mutex<BTreeMap<Key, Arc<Mutex<Profile>>>>,
}

/// The owner of a profile; each thread has its own, so that none waits for another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    vm: String,
    engine: &'static str,
    thread: String,
}

impl Profiler {
    /// Opens a folder, which is made if it is not there; then its user alone may enter it. A profile that is there is
    /// written over. Samples are kept of so many VMs; `trouble` hears of those that cannot be written.
    ///
    /// # Errors
    /// The folder cannot be made, or not be written to.
    pub fn open(path: &Path, sampled: usize, trouble: OnFileError) -> std::io::Result<Self> {
        private::make_folder(path)?;
        let profiler =
            Self { folder: Folder::new(path, sampled, trouble), begin: Instant::now(), profiles: Mutex::default() };
        profiler.write()?;
        Ok(profiler)
    }

    /// Returns the measurements so far.
    pub fn report(&self) -> Report {
        let profiles: Vec<_> =
            self.profiles().iter().map(|(key, profile)| (key.clone(), Arc::clone(profile))).collect();
        let elapsed = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Report::of(profiles.iter().map(|(key, profile)| (key, snapshot(profile))), elapsed)
    }

    /// Writes what was measured so far: each file whole, in the place of the last.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self) -> std::io::Result<()> {
        let report = self.report();
        let mut json = serde_json::to_vec_pretty(&report)?;
        json.push(b'\n');
        self.folder.replace("profile.json", &json)?;
        self.folder.replace("profile.txt", report.to_string().as_bytes())
    }

    /// Returns the profile of this thread's VMs.
    fn here(&self, vm: &str, engine: &'static str) -> (Arc<Mutex<Profile>>, String) {
        let thread = std::thread::current().name().unwrap_or("thread").to_owned();
        let key = Key { vm: vm.to_owned(), engine, thread: thread.clone() };
        (Arc::clone(self.profiles().entry(key).or_default()), thread)
    }

    fn profiles(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<Mutex<Profile>>>> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a module whose guests are those of `module`, and are measured under this name.
///
/// # Errors
/// The code of the module is none, as of one that was made for tests.
pub fn profiled(module: &Arc<Module>, name: &str, profiler: &Arc<Profiler>) -> Result<Module, LoadError> {
    let (engine, name, profiler) = (module.engine(), name.to_owned(), Arc::clone(profiler));
    wrapped(module, |module, _| Box::new(Profiled { module, engine, name, profiler }))
}

/// A module whose guests are measured.
struct Profiled {
    module: Box<dyn AnyModule>,
    engine: &'static str,
    name: String,
    profiler: Arc<Profiler>,
}

impl AnyModule for Profiled {
    fn instantiate(&self, state: VmState, limits: &Limits) -> Result<Box<dyn Guest>, StartError> {
        let (into, thread) = self.profiler.here(&self.name, self.engine);
        let file = self.profiler.folder.take_place(&self.name, &thread);
        let samples = file.map(|file| -> Samples { Box::new(move |bytes| file.write(&with_readable_names(bytes))) });
        profile(&*self.module, state, limits, &into, samples.map(|samples| (self.name.as_str(), samples)))
    }

    fn save(&self) -> Result<Option<Vec<u8>>, EngineError> {
        self.module.save()
    }

    fn moves(&self) -> bool {
        self.module.moves()
    }
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").field("folder", &self.folder).finish_non_exhaustive()
    }
}
