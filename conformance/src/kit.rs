//! Running a task on a host: arm, lead there, ask what was seen.

use portcullis_core::abi::{AbiVersion, CallbackId, HostcallId};

use crate::check::{Course, Seen, Task};
use crate::host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
use crate::probe::dialogue::{self, Answer, Hello};
use crate::probe::{Observation, Probe, Program, belongs_to_a_stream};

/// Runs a task on a host.
///
/// `number` makes its names its own, on a host that remembers those of other tasks. `starts` are the tasks of which programs
/// run while a plugin starts, as [`start_configuration`] was given them.
///
/// # Errors
/// Why nothing was seen.
pub fn observe(host: &mut dyn HostUnderTest, task: &Task, number: usize, starts: &[Task]) -> Result<Seen, Trouble> {
    let needs = Needs { abi: task.abi, setting: task.setting, starts: is_of_the_start(task.phase) };
    host.prepare(&needs)?;
    let hello = ask(host, dialogue::HELLO)?;
    let hello = Hello::read(&hello.bytes).ok_or_else(|| Trouble::NoProbe("it is a probe of another kit".to_owned()))?;
    if hello.abi != task.abi {
        return Err(Trouble::Unsupported("the probe is of another ABI version"));
    }
    let program = compile(&task.script, number)?;
    if let Some(missing) = program.hostcalls.iter().find(|id| !hello.imports.contains(id)) {
        return Err(Trouble::DoesNotLink(*missing));
    }
    if needs.starts {
        return started(host, task, &hello, starts);
    }
    if let Some((phase, script, returns)) = lead_to(task) {
        let lead = compile(script, number)?;
        if let Some(missing) = lead.hostcalls.iter().find(|id| !hello.imports.contains(id)) {
            return Err(Trouble::DoesNotLink(*missing));
        }
        ask(host, &dialogue::lead(phase, returns, &lead))?;
    }
    if task.setting == Setting::Pending {
        ask(host, dialogue::PENDING)?;
        host.end_plugin()?;
    }
    ask(host, &dialogue::arm(task.phase, task.returns, &program))?;
    let response = bring_about(host, task)?;
    let observations = fetch(host)?;
    let trace = ask(host, dialogue::TRACE)?.bytes.into_iter().filter_map(callback).collect();
    ask(host, dialogue::QUIET)?;
    Ok(Seen { observations, response, trace })
}

/// Returns the VM's configuration that makes a probe run some tasks while its plugin starts: those of `starts` that are of its
/// version, and whose hostcalls it imports.
pub fn start_configuration(probe: &Probe, starts: &[Task]) -> String {
    dialogue::configuration(&start_programs(starts, probe.abi, |id| probe.imports(id)).1)
}

/// Returns whether no request comes before this callback.
pub fn is_of_the_start(phase: CallbackId) -> bool {
    use CallbackId as Id;
    matches!(phase, Id::on_vm_start | Id::validate_configuration | Id::on_configure)
}

/// Returns the same callback in another version of the ABI.
pub fn in_version(phase: CallbackId, abi: AbiVersion) -> CallbackId {
    match (phase, abi) {
        (CallbackId::on_request_headers, AbiVersion::V0_1_0) => CallbackId::on_request_headers_0_1_0,
        (CallbackId::on_response_headers, AbiVersion::V0_1_0) => CallbackId::on_response_headers_0_1_0,
        _ => phase,
    }
}

/// Returns the request that makes a stream, where the phase is one of a stream.
pub fn subject() -> Message {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Message {
        headers: SUBJECT.iter().map(owned).collect(),
        body: "hello".into(),
        trailers: vec![("x-trailer".to_owned(), "sent".to_owned())],
    }
}

const SUBJECT: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/p?q=1"),
    (":authority", "probe.test"),
    ("x-id", "7"),
    ("empty", ""),
    ("referer", "http://probe.test/before"),
    ("user-agent", "kit"),
];

const HTTP_CALL: &str = "proxy_http_call 'auth' '\\03\\00\\00\\00\\07\\00\\00\\00\\03\\00\\00\\00\\05\\00\\00\\00\\01\\00\\00\\00\
    \\0a\\00\\00\\00\\01\\00\\00\\00:method~GET~:path~/~:authority~a~' '' '' 1000 64";

const GRPC_STREAM: &str = "proxy_grpc_stream 'auth' 'S' 'M' '' 64";

const QUEUE: &str = "proxy_register_shared_queue 'lead#' 64; proxy_enqueue_shared_queue @64 'item'";

/// Pause, as headers and new connections return it.
const PAUSE: Option<u8> = Some(1);

/// Returns the hostcall that has to be made, and where, for a callback that a hostcall brings about; and what that callback returns.
fn lead_to(task: &Task) -> Option<(CallbackId, &'static str, Option<u8>)> {
    use CallbackId as Id;
    match task.course {
        Course::PausedRequest => return Some((Id::on_request_headers, HTTP_CALL, PAUSE)),
        Course::PausedConnection => return Some((Id::on_new_connection, HTTP_CALL, PAUSE)),
        Course::Direct | Course::Tcp => {}
    }
    let script = match task.phase {
        Id::on_http_call_response => HTTP_CALL,
        Id::on_grpc_receive_initial_metadata
        | Id::on_grpc_receive
        | Id::on_grpc_receive_trailing_metadata
        | Id::on_grpc_close => GRPC_STREAM,
        Id::on_queue_ready => QUEUE,
        Id::envoy_on_resolve_dns => "envoy_resolve_dns 'localhost' 64",
        _ => return None,
    };
    Some((Id::on_tick, script, None))
}

pub(crate) fn compile(script: &str, number: usize) -> Result<Program, Trouble> {
    Program::compile(script, &format!("{number:x}")).map_err(|error| Trouble::NoProbe(error.to_string()))
}

/// Returns programs of the start, and the number of each of their tasks.
fn start_programs(
    starts: &[Task],
    abi: AbiVersion,
    imports: impl Fn(HostcallId) -> bool,
) -> (Vec<&Task>, Vec<(CallbackId, Program)>) {
    let mut programs = Vec::new();
    let tasks = starts
        .iter()
        .filter(|task| task.abi == abi && task.setting == Setting::Plain && is_of_the_start(task.phase))
        .filter(|task| {
            let Ok(program) = compile(&task.script, 0xf000 + programs.len()) else { return false };
            let linked = program.hostcalls.iter().all(|id| imports(*id));
            programs.extend(linked.then_some((task.phase, program)));
            linked
        })
        .collect();
    (tasks, programs)
}

/// Returns the observations of a program of the start.
fn started(host: &mut dyn HostUnderTest, task: &Task, hello: &Hello, starts: &[Task]) -> Result<Seen, Trouble> {
    let (tasks, _) = start_programs(starts, hello.abi, |id| hello.imports.contains(&id));
    let number = tasks.iter().position(|other| *other == task).ok_or(Trouble::NotCalled)?;
    let answer = ask(host, dialogue::STARTED)?;
    let bytes = dialogue::started(&answer.bytes, number).ok_or(Trouble::NotCalled)?;
    Ok(Seen { observations: read(bytes)?, ..Seen::default() })
}

/// Makes the host call the phase's callback.
fn bring_about(host: &mut dyn HostUnderTest, task: &Task) -> Result<Option<Message>, Trouble> {
    use CallbackId as Id;
    if task.connects() {
        let bytes: &[u8] = if task.course == Course::PausedConnection { b"" } else { b"hello" };
        return host.connect(bytes).map(|_| None);
    }
    match task.phase {
        Id::on_foreign_function => host.call_foreign_function(b"args").map(|()| None),
        id if id == Id::on_context_create || belongs_to_a_stream(id) || task.course == Course::PausedRequest => {
            match host.request(&subject()) {
                Ok(response) => Ok(Some(response)),
                // A program may end or hold its stream; whether it ran shows when the kit asks.
                Err(Trouble::NoAnswer(_)) => Ok(None),
                Err(trouble) => Err(trouble),
            }
        }
        _ => Ok(None),
    }
}

/// Waits for what the program observed.
fn fetch(host: &mut dyn HostUnderTest) -> Result<Vec<Observation>, Trouble> {
    const PATIENCE: usize = 1500;
    for _ in 0..PATIENCE {
        let answer = ask(host, dialogue::FETCH)?;
        if answer.has_run {
            return read(&answer.bytes);
        }
        host.wait();
    }
    Err(Trouble::NotCalled)
}

fn read(bytes: &[u8]) -> Result<Vec<Observation>, Trouble> {
    Observation::read(bytes).ok_or_else(|| Trouble::NoProbe("its observations are malformed".to_owned()))
}

pub(crate) fn ask(host: &mut dyn HostUnderTest, what: &str) -> Result<Answer, Trouble> {
    let mut request = subject();
    request.headers.push((dialogue::HEADER.to_owned(), what.to_owned()));
    (request.body, request.trailers) = Default::default();
    let response = host.request(&request)?;
    Answer::read(&response.body).ok_or_else(|| {
        let status = response.header(":status").unwrap_or("none");
        let body: String = String::from_utf8_lossy(&response.body).chars().take(80).collect();
        Trouble::PluginEnded(format!("the answer has status {status} and says {body:?}"))
    })
}

fn callback(row: u8) -> Option<CallbackId> {
    let decl = portcullis_core::abi::CALLBACKS.get(usize::from(row))?;
    (decl.id != CallbackId::on_tick).then_some(decl.id)
}
