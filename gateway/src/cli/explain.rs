//! `explain`: what a request would meet.

use std::path::PathBuf;

use super::process::{Ended, options, print};
use crate::config::Config;
use crate::error::ServeError;
use crate::explain::{Explanation, Question};
use crate::serve::server::Gateway;

/// Say which listener, route, plugins, rights, cluster and timeouts a request would meet, and why.
///
/// Nothing is sent and no plugin runs. The admin interface of a gateway that runs says the same at `/explain?url=URL`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration (YAML).
    file: PathBuf,

    /// The URL that the client asks for.
    #[arg(long)]
    url: String,

    /// The method of the request.
    #[arg(long, default_value = "GET")]
    method: String,

    /// A header of the request, such as `x-user: me`; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The listener, where the URL does not say which.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// Run all plugins on this engine, whatever `runtime` says; `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let question = Question::new(&self.url, &self.method, &self.headers, self.listener.as_deref())
            .map_err(|unclear| ServeError::Question(unclear.to_string()))?;
        let gateway = Gateway::prepare_with(Config::load(&self.file)?, options(self.engine.as_deref()))?;
        let outline = gateway.outline();
        let explanation = Explanation::of(&outline, &question);
        let explanation = explanation.map_err(|unclear| ServeError::Question(unclear.to_string()))?;
        print(&if self.json { format!("{:#}\n", explanation.to_json()) } else { explanation.to_string() })
    }
}
