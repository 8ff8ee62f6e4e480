//! The options of `serve` that begin with `--record`.

use std::path::PathBuf;

use clap::Args;
use portcullis::transcript::Redaction;
use portcullis_config::reader::size::parse_size;

use crate::observe::recorder::TranscriptOptions;

/// Options of `serve` for recording transcripts.
#[derive(Args, Debug)]
pub(super) struct RecordOptions {
    /// Write transcripts of what the plugins do into this folder: all callbacks and hostcalls with their bytes.
    ///
    /// One more worker serves the connections that are recorded, with VMs of its own; the others pay nothing.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,

    /// Record one connection in N.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = record_sample, requires = "record")]
    record_sample: u64,

    /// The most bytes of one transcript; then its VM continues unrecorded.
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = record_limit, requires = "record")]
    record_limit: usize,

    /// The most transcripts; there is one for each VM.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "record")]
    record_files: usize,

    /// The headers, and parameters of queries, whose values are replaced by asterisks, wherever they come up; `-` for none.
    ///
    /// Only letters and digits of a name are compared, without regard to case; `*` at its beginning stands for any or none.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_values_t = Redaction::DEFAULT.iter().map(|name| (*name).to_owned()),
        requires = "record"
    )]
    record_redact: Vec<String>,
}

impl RecordOptions {
    /// Returns the options as plain data, if there is something to be recorded.
    pub(super) fn recording(&self) -> Option<TranscriptOptions> {
        let names = self.record_redact.iter().map(String::as_str).map(str::trim).filter(|name| *name != "-");
        Some(TranscriptOptions {
            folder: self.record.clone()?,
            sample: self.record_sample,
            limit: self.record_limit,
            files: self.record_files,
            redaction: Redaction::new(names),
        })
    }
}

fn record_sample(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|sample| *sample > 0).ok_or_else(|| "N is a whole number, 1 or more".to_owned())
}

fn record_limit(text: &str) -> Result<usize, String> {
    parse_size(text, &((4 << 10)..=(1 << 40)))
}
