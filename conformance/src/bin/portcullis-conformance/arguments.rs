//! The arguments of the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use http::uri::Authority;
use portcullis_conformance::setup::{self, Flavour};
use portcullis_conformance::{Feature, Share};
use portcullis_core::abi::{AbiVersion, HOSTCALLS, HostcallId};

/// The conformance kit for hosts of Proxy-Wasm plugins.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Examine the engines that are built in.
    #[cfg(feature = "engines")]
    Engines {
        /// Only these; all by default.
        #[arg(long = "engine", value_name = "NAME")]
        engines: Vec<String>,

        /// Record what the first VM does in this file, and others beside it, for `portcullis replay`. Takes one
        /// engine, and a filter that says which cases.
        #[arg(long, value_name = "FILE", requires = "engines")]
        transcript: Option<PathBuf>,

        #[command(flatten)]
        telling: Telling,
    },
    /// Examine a host that has the probe in front of the kit's upstream; `setup` writes its configuration.
    Http {
        /// Name of the host in reports.
        #[arg(long, default_value = "host")]
        name: String,

        /// Where a probe is, such as `http://proxy.test:8080`. A probe of another version of the ABI than 0.2.1 has
        /// it before: `0.1.0=http://proxy.test:8081`. May be given again. By default those of `setup`.
        #[arg(long = "target", value_name = "[VERSION=]URL", value_parser = target)]
        targets: Vec<(AbiVersion, String)>,

        /// Where a probe stands before the TCP upstream.
        #[arg(long, value_name = "HOST:PORT", value_parser = authority)]
        tcp: Option<String>,

        /// Where the host's own pages are. The kit waits for /ready there, and reads the version from /server_info.
        #[arg(long, value_name = "URL", value_parser = authority)]
        admin: Option<String>,

        /// The first of the ports that `setup` used.
        #[arg(long, default_value_t = setup::BASE_PORT)]
        base_port: u16,

        /// Known differences: `envoy` or `portcullis`, or a file of JSON, a list of `{"why": "...", "cases": {"topic::name":
        /// "observed"}}`.
        #[arg(long, value_name = "HOST|FILE")]
        differences: Option<PathBuf>,

        /// A part of the ABI that the host does not have: its cases are told as not examined. May be given again.
        #[arg(long, value_name = "grpc|tcp|trailers")]
        without: Vec<Feature>,

        /// Only a share of the cases, which is the same in every run: `1/10` is a tenth of them.
        #[arg(long, value_name = "SHARE", default_value_t)]
        only: Share,

        /// Results of an earlier run, as `page --results` writes them: the cases outside the share are told as that run saw the host
        /// of this name.
        #[arg(long, value_name = "FILE")]
        rest: Option<PathBuf>,

        /// Where to write what the host itself says, behind what is there; with the other output if no file is named.
        #[arg(long, value_name = "FILE", requires = "spawn")]
        host_output: Option<PathBuf>,

        #[command(flatten)]
        telling: Telling,

        /// The command that starts the host, behind `--`. The kit starts it, and again when it dies.
        #[arg(last = true)]
        spawn: Vec<String>,
    },
    /// Write the probe and a configuration for a host that is to be examined.
    Setup {
        /// Which host's configuration.
        flavour: Flavour,

        /// Where to write them; made if it is not there.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,

        /// The first of six ports on 127.0.0.1: probe of 0.2.1, probe of 0.1.0, probe before TCP, the host's pages,
        /// HTTP upstream, TCP upstream.
        #[arg(long, default_value_t = setup::BASE_PORT)]
        base_port: u16,

        /// The engine to name in the configuration, where the host has a choice.
        #[arg(long)]
        engine: Option<String>,

        /// A hostcall that the host does not link, which the probe then does not import; may be given again.
        #[arg(long, value_name = "HOSTCALL", value_parser = hostcall)]
        without: Vec<HostcallId>,
    },
    /// Make one page of JSON reports.
    Page {
        /// The reports. Those of one host are merged.
        reports: Vec<PathBuf>,

        /// The page.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,

        /// Where to write what every host did in every case, as JSON.
        #[arg(long, value_name = "FILE")]
        results: Option<PathBuf>,

        /// A file with the table of totals between two comments, `<!-- conformance -->` and `<!-- /conformance -->`.
        #[arg(long, value_name = "FILE")]
        totals: Option<PathBuf>,

        /// Where to write all of it as JUnit's XML, too.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,

        /// Write nothing; fail if something would change. Nothing else is done with reports of a share of the cases.
        #[arg(long)]
        check: bool,
    },
    /// List what is examined.
    List,
    /// Print the grid of phases as an engine has it.
    #[cfg(feature = "engines")]
    Grid {
        /// The engine.
        engine: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Telling {
    /// Only entries whose full name contains this.
    #[arg(long, default_value = "")]
    pub(crate) filter: String,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub(crate) format: Form,

    /// Where to write it; to standard output if no file is named.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    Text,
    Json,
    Junit,
    Markdown,
}

fn hostcall(text: &str) -> Result<HostcallId, String> {
    let found = HOSTCALLS.iter().find(|decl| decl.name == text).map(|decl| decl.id);
    found.ok_or_else(|| format!("there is no hostcall {text:?}; `portcullis abi` prints them"))
}

fn target(text: &str) -> Result<(AbiVersion, String), String> {
    let (abi, url) = match text.split_once('=') {
        Some((version, url)) => {
            let abi = AbiVersion::ALL.iter().copied().find(|abi| abi.to_string() == version);
            (abi.ok_or_else(|| format!("there is no ABI version {version:?}"))?, url)
        }
        None => (AbiVersion::V0_2_1, text),
    };
    Ok((abi, authority(url)?))
}

/// Returns host and port of `http://HOST[:PORT]` or `HOST:PORT`.
fn authority(text: &str) -> Result<String, String> {
    let form = || "expected http://HOST[:PORT] or HOST:PORT; the kit speaks no TLS".to_owned();
    let (is_url, rest) = text.strip_prefix("http://").map_or((false, text), |rest| (true, rest));
    let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| form())?;
    let has_port = authority.as_str().len() > authority.host().len();
    match authority.port_u16() {
        _ if authority.host().is_empty() || authority.as_str().contains('@') => Err(form()),
        Some(port) => Ok(format!("{}:{port}", authority.host())),
        None if is_url && !has_port => Ok(format!("{}:80", authority.host())),
        None => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_urls_or_addresses() {
        for (text, version, expected) in [
            ("http://proxy.test:8080", "0.2.1", "proxy.test:8080"),
            ("http://proxy.test:8080/", "0.2.1", "proxy.test:8080"),
            ("http://proxy.test", "0.2.1", "proxy.test:80"),
            ("127.0.0.1:10000", "0.2.1", "127.0.0.1:10000"),
            ("0.1.0=http://[::1]:81", "0.1.0", "[::1]:81"),
            ("0.2.0=localhost:81", "0.2.0", "localhost:81"),
        ] {
            let (abi, address) = target(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((abi.to_string().as_str(), address.as_str()), (version, expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for text in [
            "https://proxy.test",
            "proxy.test",
            "http://",
            "http://:80",
            "http://proxy.test/path",
            "proxy.test:",
            "proxy.test:99999",
            "user@proxy.test:80",
            "0.3.0=proxy.test:80",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
