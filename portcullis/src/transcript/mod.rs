//! Transcripts: what crossed the wall of one VM, in a file, and played again on any engine.
//!
//! A transcript is JSON Lines. The first line says what was recorded; each line after it is one event, as
//! [`core::tape`](portcullis_core::tape) has them:
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
//! a header map, and else `{"base64": ...}`. Between `hostcall` with `allocate` and its `allocated` stands what the
//! plugin's allocator called. `end` is there if the file was full.

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
