//! The side that compiles. It trusts its parent, and not the module.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;

use portcullis::module::Bytecode;

use super::order::{Kind, Order};

/// The longest order.
const LONGEST: u64 = 4 << 10;

/// Compiles the module on standard input, with the settings in its first line, and writes the result to standard output.
pub fn run() -> ExitCode {
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    let order = input.by_ref().take(LONGEST).read_until(b'\n', &mut line).ok().and_then(|_| Order::read(&line));
    let Some(order) = order else {
        eprintln!("this command is for portcullis itself: it compiles a module in a process of its own");
        return ExitCode::FAILURE;
    };
    let (kind, answer) = match compile(&order, input) {
        Ok(Some(answer)) => (Kind::Code, answer),
        Ok(None) => (Kind::Refused, Vec::new()),
        Err(why) => (Kind::Error, why.into_bytes()),
    };
    let mut output = io::stdout().lock();
    match output.write_all(&[kind as u8]).and_then(|()| output.write_all(&answer)).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Compiles the module and returns the fingerprint and the code; none if it is no plugin.
fn compile(order: &Order, mut input: impl Read) -> Result<Option<Vec<u8>>, String> {
    // Threads first: their stacks are of the process, and not what a module takes.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(order.threads).build_global();
    pool.map_err(|error| error.to_string())?;
    let info = portcullis::engine::find(&order.engine).map_err(|error| error.to_string())?.engine;
    let engine = info.start(&order.settings()).map_err(|error| error.to_string())?;
    limits::set(order)?;
    let mut wasm = Vec::new();
    input.read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    let Ok(bytecode) = Bytecode::judge(&wasm) else { return Ok(None) };
    let module = engine.load(&bytecode).map_err(|error| error.source.to_string())?;
    let code = module.save().map_err(|error| error.source.to_string())?.ok_or("the engine has no machine code")?;
    let fingerprint = engine.fingerprint();
    let length = u16::try_from(fingerprint.len()).map_err(|error| error.to_string())?;
    Ok(Some([&length.to_le_bytes()[..], fingerprint.as_bytes(), &code].concat()))
}

#[cfg(target_os = "linux")]
mod limits {
    use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setpriority_process, setrlimit};

    use super::Order;

    /// Priority of a child (`nice`), below that of its parent's workers.
    const NICE: i32 = 10;

    /// Bounds this process: what it may take on top of what it has already, and how long it may run.
    pub(super) fn set(order: &Order) -> Result<(), String> {
        let limit = |resource, current: u64, maximum: u64| {
            setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
                .map_err(|error| format!("cannot set its resource limits: {error}"))
        };
        // With its parent gone nobody would end it.
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
        limit(Resource::Core, 0, 0)?;
        // Of all threads together.
        let seconds = order.limits.time.as_secs().saturating_add(1).saturating_mul(order.threads as u64);
        limit(Resource::Cpu, seconds, seconds.saturating_add(1))?;
        let memory = taken().saturating_add(order.limits.memory);
        limit(Resource::As, memory, memory)?;
        if order.gives_way {
            setpriority_process(None, NICE).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Bytes of addresses that the process has.
    fn taken() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.unwrap_or_default().saturating_mul(1024)
    }
}

/// Elsewhere the parent's clock is all there is.
#[cfg(not(target_os = "linux"))]
mod limits {
    use super::Order;

    pub(super) fn set(_: &Order) -> Result<(), String> {
        Ok(())
    }
}
