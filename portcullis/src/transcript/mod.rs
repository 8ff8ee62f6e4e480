//! Transcripts: all callbacks and hostcalls of one VM with their bytes, in a file that can be replayed on any engine.
//!
//! A transcript is JSON Lines. The first line says what was recorded; each line after it is one event, as
//! [`core::transcript`](portcullis_core::observe::transcript) has them:
//!
//! ```json
//! {"transcript":1,"portcullis":"0.1.0","name":"tour","engine":"wasmtime","abi":"0.2.1","sha256":"9c0e...","limits":{...},"redacted":["cookie"]}
//! {"instantiated":{}}
//! {"callback":{"name":"proxy_on_context_create","args":[2,1]}}
//! {"hostcall":{"name":"proxy_log","args":{"level":2,"message":1050,"message_len":5},"reads":[[1050,"hello"]],"result":0}}
//! {"hostcall":{"name":"proxy_get_header_map_pairs","args":{...},"allocate":60}}
//! {"allocated":{"address":70000,"writes":[[70000,{"pairs":[[":path","/"]]}],[1020,70000],[1024,60]],"result":0}}
//! {"returned":{}}
//! {"end":"full"}
//! ```
//!
//! Bytes are text where they are printable, a number where they are one little-endian word, `{"pairs": ...}` where they are
//! a header map, and else `{"base64": ...}`. Between `hostcall` with `allocate` and its `allocated` are the calls
//! of the plugin's allocator. `end` is there if the file was full.
//!
//! A module is recorded for as long as its guests run, and its transcript is replayed on any engine:
//!
//! ```
//! use std::sync::Arc;
//!
//! use portcullis::engine::EngineSettings;
//! use portcullis::model::Plugin;
//! use portcullis::transcript::{OneFile, Redaction, Settings, Transcript, recorded};
//! use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost, Worker, engine};
//!
//! # let folder = std::env::temp_dir().join(format!("portcullis-doc-transcript-{}", std::process::id()));
//! # struct Remove<'a>(&'a std::path::Path);
//! # impl Drop for Remove<'_> { fn drop(&mut self) { let _ = std::fs::remove_dir_all(self.0); } }
//! # let _remove = Remove(&folder);
//! # std::fs::create_dir_all(&folder)?;
//! # let plugin = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
//! #     (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096)))"#)?;
//! let module = Arc::new(Module::load(&DefaultEngine::new(&EngineSettings::default())?, plugin.into())?);
//! let path = folder.join("run.jsonl");
//! let outputs = OneFile::new(&path, Arc::new(|path, error| eprintln!("{}: {error}", path.display())));
//! let settings = Settings::new(Arc::new(outputs), 64 << 20);
//! let module = Arc::new(recorded(&module, "example", &settings)?);
//!
//! let mut worker = Worker::new(|| Box::new(SystemHost::new(|_| {})));
//! worker.load(&[PluginSpec::new(Plugin::new("example"), module)])?;
//! drop(worker);
//!
//! let replayed = Transcript::open(&path)?.replay(engine::find("")?.engine, None)?;
//! assert!(!replayed.is_other_build);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod content;
mod error;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod line;
mod names;
mod one_file;
mod pairs;
mod read;
mod recorder;
mod redaction;
mod secrets;

pub use crate::private::OnFileError;
pub use error::TranscriptError;
pub use folder::Folder;
pub use one_file::OneFile;
pub use read::{Replayed, Transcript};
pub use recorder::{Outputs, Recorder, RecordingEngine, Settings, Subject, recorded};
pub use redaction::Redaction;

/// The version of the format, which the first line says. Another version is not read.
pub const FORMAT: u32 = 1;
