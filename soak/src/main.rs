//! A gateway under constant load that is reloaded all the time, with configurations that change a plugin and with broken ones (README.md).
//!
//! | module | what it holds |
//! |---|---|
//! | `load` | clients at a constant rate, which never send a request twice |
//! | `tally` | what the clients saw |
//! | `gateway` | the gateway's process: start, reload, memory, end |
//! | `fleet` | 51 plugins, and the configuration with them |
//! | `broken` | configurations and modules that must be refused |
//! | `report` | figures, and what they are held to |
//! | `steady` | memory over reloads |

mod broken;
mod fleet;
mod gateway;
mod load;
mod report;
mod steady;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::broken::{Broken, broken_configurations, broken_modules};
use crate::fleet::Fleet;
use crate::gateway::{Gateway, Outcome};
use crate::load::Load;
use crate::report::{Aims, Figures, Turn};
use crate::tally::Tally;

/// Reloads a gateway all the time while clients load it, and says what they noticed.
///
/// Turns with reloads and turns without follow each other. Each reload changes one plugin of 51: half of them its code, with bytes
/// that no cache knows, half its configuration. Then come configurations and modules that must be refused.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway's program.
    #[arg(long, value_name = "FILE", default_value = "target/release/portcullis")]
    gateway: PathBuf,

    /// Plugins to run: a module of guests/c_headers.
    #[arg(long, value_name = "FILE", default_value = "guests/wasm/c_headers.wasm")]
    guest: PathBuf,

    /// Reloads that change a plugin.
    #[arg(long, value_name = "NUMBER", default_value_t = 1377)]
    reloads: usize,

    /// Turns with reloads; one without comes before each, and one at the end.
    #[arg(long, value_name = "NUMBER", default_value_t = 6)]
    turns: usize,

    /// Further reloads, over which resident memory has to stay as it is.
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    steady: usize,

    /// Broken configurations to push.
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    configurations: usize,

    /// Broken modules to push.
    #[arg(long, value_name = "NUMBER", default_value_t = 30)]
    modules: usize,

    /// Requests a second of all clients together.
    #[arg(long, value_name = "NUMBER", default_value_t = 800)]
    rate: u32,

    /// Connections of HTTP/1.1; an eighth as many are of HTTP/2, each with eight requests at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 32)]
    connections: u32,

    /// The engine that plugins run on.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// Holds the figures to aims that a busy machine can miss, too: latencies and memory.
    #[arg(long)]
    strict: bool,

    /// Where the figures are written as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return told(&error.into()),
    };
    match runtime.block_on(tokio::task::LocalSet::new().run_until(soak(&arguments))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => told(&failure),
    }
}

fn told(failure: &Failure) -> ExitCode {
    eprintln!("soak: {failure}");
    ExitCode::from(2)
}

/// Runs everything; returns whether the aims were met.
async fn soak(arguments: &Arguments) -> Result<bool, Failure> {
    let mut fleet = Fleet::new(&arguments.guest, arguments.engine.as_deref())?;
    let mut gateway = Gateway::start(&arguments.gateway, &fleet).await?;
    let load = Load::start(gateway.address(), arguments.rate, arguments.connections);
    let result = turns(arguments, &mut fleet, &gateway, &load).await;
    let tally = load.stop().await;
    let ended = gateway.stop().await;
    let mut figures = result.inspect_err(|_| eprintln!("the gateway's log is {}", fleet.log().display()))?;
    figures.ended = ended?;
    figures.finish(&tally);
    if let Some(path) = &arguments.json {
        std::fs::write(path, format!("{:#}\n", figures.to_json()))?;
    }
    let missed = figures.missed(if arguments.strict { Aims::Quiet } else { Aims::Busy });
    print!("{figures}");
    missed.iter().for_each(|line| println!("MISSED {line}"));
    if missed.is_empty() {
        fleet.remove();
    } else {
        println!("the gateway's log is {}", fleet.log().display());
    }
    Ok(missed.is_empty())
}

/// Takes turns with reloads and without, and pushes what must be refused.
async fn turns(arguments: &Arguments, fleet: &mut Fleet, gateway: &Gateway, load: &Load) -> Result<Figures, Failure> {
    let mut figures = Figures::default();
    load.settle().await;
    for _ in 0..10 {
        let changed = fleet.change()?;
        gateway.reload().await?.expect_done(&changed)?;
    }
    figures.memory_after_ten = gateway.resident()?;
    let in_turn = arguments.reloads.div_ceil(arguments.turns.max(1));
    let mut left = arguments.reloads;
    let mut length = Duration::from_secs(5);
    while left > 0 {
        figures.turns.push(quiet(load, length).await);
        let begun = Instant::now();
        load.note(Arc::new(Tally::default()));
        for _ in 0..in_turn.min(left) {
            let changed = fleet.change()?;
            let asked = Instant::now();
            gateway.reload().await?.expect_done(&changed)?;
            figures.reload_times.push(asked.elapsed());
        }
        length = begun.elapsed();
        figures.turns.push(Turn { reloads: in_turn.min(left), length, tally: load.tally() });
        left -= in_turn.min(left);
    }
    figures.turns.push(quiet(load, length).await);
    figures.memory_after_all = gateway.resident()?;
    load.note(Arc::new(Tally::default()));
    // Until each plugin has had a change of each kind, memory finds its level.
    while arguments.steady > 0 && !fleet.has_changed_all() {
        let changed = fleet.change()?;
        gateway.reload().await?.expect_done(&changed)?;
    }
    for _ in 0..arguments.steady {
        let changed = fleet.change()?;
        gateway.reload().await?.expect_done(&changed)?;
        figures.steady.memory.push(gateway.resident()?);
    }
    figures.steady.tally = load.tally();
    load.note(Arc::new(Tally::default()));
    for broken in broken_configurations(fleet)?.into_iter().cycle().take(arguments.configurations) {
        push(fleet, gateway, &broken, &mut figures).await?;
    }
    for broken in broken_modules()?.into_iter().cycle().take(arguments.modules) {
        push(fleet, gateway, &broken, &mut figures).await?;
    }
    figures.broken = Some(load.tally());
    let changed = fleet.change()?;
    gateway.reload().await?.expect_done(&changed)?;
    figures.memory_at_end = gateway.resident()?;
    Ok(figures)
}

/// Lets the load go on alone.
async fn quiet(load: &Load, length: Duration) -> Turn {
    load.note(Arc::new(Tally::default()));
    tokio::time::sleep(length).await;
    Turn { reloads: 0, length, tally: load.tally() }
}

/// Pushes something broken, and puts right what it broke.
async fn push(fleet: &Fleet, gateway: &Gateway, broken: &Broken, figures: &mut Figures) -> Result<(), Failure> {
    fleet.break_with(broken)?;
    match gateway.reload().await? {
        Outcome::Refused(text) if text.contains(broken.told) => figures.refused += 1,
        Outcome::Refused(text) => figures.misworded.push(format!("{}: {text}", broken.what)),
        Outcome::Done => figures.misworded.push(format!("{}: was accepted", broken.what)),
    }
    fleet.mend()
}
