//! Any host that an operator has set up, over HTTP and TCP.

mod client;
mod group;
mod pause;
pub mod upstream;

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_core::abi::AbiVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::decisions::Decision;
use crate::host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
use crate::probe::dialogue::{self, Answer};
use client::Client;
pub use group::Group;
use upstream::Upstream;

/// How long a response may take. A request that a program has paused gets none.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a host may take to start, or a plugin to be started again.
const REVIVAL: Duration = Duration::from_secs(10);

/// A host that runs, with a probe for each target. It should have one worker, so that all requests meet the
/// same VM.
#[derive(Debug)]
pub struct HttpHost {
    name: String,
    runtime: Runtime,
    targets: Vec<(AbiVersion, Client)>,
    tcp: Option<String>,
    process: Option<Process>,
    upstream: Option<Upstream>,
    /// The target of the task.
    current: usize,
}

/// A host that the kit starts, and starts again when it dies.
#[derive(Debug)]
struct Process {
    command: Vec<String>,
    /// Takes what the host writes; without one, what it writes goes where the kit's goes.
    output: Option<File>,
    child: Child,
    group: Group,
}

impl HttpHost {
    /// Makes a host with probes at these authorities, such as `127.0.0.1:8080`.
    ///
    /// # Errors
    /// No runtime could be had.
    pub fn new(name: &str, targets: Vec<(AbiVersion, String)>, tcp: Option<String>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let targets = targets.into_iter().map(|(abi, authority)| (abi, Client::new(authority))).collect();
        Ok(Self { name: name.to_owned(), runtime, targets, tcp, process: None, upstream: None, current: 0 })
    }

    /// Has the kit serve the host's upstream, and see what comes there.
    #[must_use]
    pub fn before(mut self, upstream: Upstream) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// Has the kit start the host with this command, and start it again when it dies. What the host writes goes to the end of
    /// `output`; without one, to where the kit's output goes. It runs in `group`, by which it can be ended from another thread.
    ///
    /// # Errors
    /// The start fails.
    pub fn spawned(mut self, command: Vec<String>, output: Option<File>, group: Group) -> io::Result<Self> {
        let child = spawn(&command, output.as_ref(), &group)?;
        self.process = Some(Process { command, output, child, group });
        Ok(self)
    }

    /// Returns the host's version, from its page `/server_info` at an authority; once it is ready there.
    pub fn version(&self, admin: &str) -> String {
        let begun = std::time::Instant::now();
        while begun.elapsed() < REVIVAL && self.page(admin, "/ready").is_none_or(|(status, _)| status != "200") {
            std::thread::sleep(Duration::from_millis(50));
        }
        let info = self.page(admin, "/server_info").and_then(|(_, page)| serde_json::from_str(&page).ok());
        let info: serde_json::Value = info.unwrap_or_default();
        // Envoy writes COMMIT/VERSION/...
        let version = info.get("version").and_then(serde_json::Value::as_str).unwrap_or_default();
        version.split('/').nth(1).unwrap_or(version).to_owned()
    }

    /// Returns status and body of a page.
    fn page(&self, authority: &str, path: &str) -> Option<(String, String)> {
        let mut client = Client::new(authority.to_owned());
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let headers = [(":method", "GET"), (":path", path), (":authority", authority)].map(header).to_vec();
        let request = Message { headers, ..Message::default() };
        let page = self.runtime.block_on(async { timeout(PATIENCE, client.send(&request)).await }).ok()?.ok()?;
        Some((page.header(":status")?.to_owned(), String::from_utf8_lossy(&page.body).into_owned()))
    }

    fn send(&mut self, request: &Message) -> Result<Message, Trouble> {
        let Some((_, client)) = self.targets.get_mut(self.current) else {
            return Err(Trouble::Unsupported("no target was given"));
        };
        let sent = self.runtime.block_on(async { timeout(PATIENCE, client.send(request)).await });
        match sent {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.is_dead().map_or(Trouble::NoAnswer(error), Trouble::HostDied)),
            Err(_) => {
                client.disconnect();
                Err(Trouble::NoAnswer(format!("none within {PATIENCE:?}")))
            }
        }
    }

    /// Returns why the host that the kit started is gone, if it is.
    fn is_dead(&mut self) -> Option<String> {
        /// A process that has closed its sockets may take a moment to end.
        const MOMENT: Duration = Duration::from_millis(300);
        let process = self.process.as_mut()?;
        for _ in 0..2 {
            if let Some(status) = process.group.status(&mut process.child) {
                // Whether there is a core dump is the machine's affair.
                return Some(status.signal().map_or_else(|| status.to_string(), |signal| format!("signal {signal}")));
            }
            std::thread::sleep(MOMENT);
        }
        None
    }
}

impl HostUnderTest for HttpHost {
    fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the probe answers; starts a host that died.
    fn prepare(&mut self, needs: &Needs) -> Result<(), Trouble> {
        if needs.setting != Setting::Plain {
            return Err(Trouble::Unsupported("it needs another set-up of the plugin"));
        }
        let target = self.targets.iter().position(|(abi, _)| *abi == needs.abi);
        self.current = target.ok_or(Trouble::Unsupported("no probe of this ABI version is there"))?;
        if let Some(Process { child, command, output, group }) = &mut self.process
            && group.status(child).is_some()
        {
            *child = spawn(command, output.as_ref(), group).map_err(|error| Trouble::HostDied(error.to_string()))?;
        }
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let headers =
            [(":method", "GET"), (":path", "/"), (":authority", "probe.test"), (dialogue::HEADER, dialogue::QUIET)];
        let request = Message { headers: headers.map(header).to_vec(), ..Message::default() };
        let begun = std::time::Instant::now();
        loop {
            let trouble = match self.send(&request) {
                Ok(response) if Answer::read(&response.body).is_some() => return Ok(()),
                Ok(response) => format!("status {}", response.header(":status").unwrap_or("none")),
                Err(trouble) => trouble.to_string(),
            };
            if begun.elapsed() > REVIVAL {
                return Err(Trouble::NoProbe(trouble));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn request(&mut self, request: &Message) -> Result<Message, Trouble> {
        self.send(request)
    }

    fn decide(&mut self, decision: &Decision) -> Result<String, Trouble> {
        pause::decide(self, decision)
    }

    fn connect(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Trouble> {
        let Some(tcp) = self.tcp.clone() else { return Err(Trouble::Unsupported("no TCP listener was given")) };
        let mut answer = vec![0; 16];
        let exchange = async {
            let mut socket = TcpStream::connect(tcp).await?;
            socket.write_all(bytes).await?;
            let read = socket.read(&mut answer).await?;
            answer.truncate(read);
            socket.shutdown().await?;
            // What it says until it closes is of no interest.
            socket.read_to_end(&mut Vec::new()).await?;
            io::Result::Ok(answer)
        };
        match self.runtime.block_on(async { timeout(PATIENCE, exchange).await }) {
            Ok(Ok(answer)) => Ok(answer),
            // A program may have closed it. Whether it ran shows when the kit asks.
            Ok(Err(_)) | Err(_) => Ok(Vec::new()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.end();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[String], output: Option<&File>, group: &Group) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let mut command = Command::new(program);
    if let Some(file) = output {
        command.stdout(file.try_clone()?).stderr(file.try_clone()?);
    }
    // What interrupts the kit does not end the host in the middle of a check.
    group.spawn(command.args(arguments).stdin(Stdio::null()))
}
