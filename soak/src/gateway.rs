//! The gateway's process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::fleet::Fleet;

/// The time that a start, a reload or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that serves.
pub(crate) struct Gateway {
    process: Child,
    admin: PathBuf,
    address: SocketAddr,
}

/// The result of a reload.
pub(crate) enum Outcome {
    Done,
    /// With the message.
    Refused(String),
}

impl Gateway {
    /// Starts a gateway, and waits until it is ready.
    pub(crate) async fn start(program: &Path, fleet: &Fleet) -> Result<Self, Failure> {
        let log = File::create(fleet.log())?;
        let mut command = Command::new(program);
        command.arg("serve").arg(fleet.folder().join("gateway.yaml")).env("NO_COLOR", "1");
        let process = command.stdin(Stdio::null()).stderr(log).spawn();
        let process = process.map_err(|error| format!("--gateway {}: {error}; build it first", program.display()))?;
        let admin = fleet.folder().join("admin.sock");
        let mut gateway = Self { process, admin, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let ready = async {
            loop {
                let is_ready = matches!(gateway.ask(Method::GET, "/ready").await, Ok((StatusCode::OK, _)));
                // The line that names the address may come behind the first answer.
                if let (true, Some(address)) = (is_ready, address_in(&fs::read_to_string(fleet.log())?)) {
                    return Ok(address);
                }
                if let Some(status) = gateway.process.try_wait()? {
                    let log = fs::read_to_string(fleet.log()).unwrap_or_default();
                    return Err(Failure::from(format!("the gateway has ended, {status}:\n{log}")));
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        gateway.address = timeout(PATIENCE, ready)
            .await
            .map_err(|_| "the gateway does not become ready, or its log names no address")??;
        Ok(gateway)
    }

    /// Returns the address of its listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has it read its configuration again.
    pub(crate) async fn reload(&self) -> Result<Outcome, Failure> {
        let answer = timeout(PATIENCE, self.ask(Method::POST, "/reload")).await;
        match answer.map_err(|_| "no answer to a reload")?? {
            (StatusCode::OK, _) => Ok(Outcome::Done),
            (StatusCode::UNPROCESSABLE_ENTITY, text) => Ok(Outcome::Refused(text)),
            (status, text) => Err(format!("POST /reload: {status}: {text}").into()),
        }
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn resident(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.ok_or("no VmRSS in /proc")? << 10)
    }

    /// Asks it to end; returns whether it ended as it should.
    pub(crate) async fn stop(&mut self) -> Result<bool, Failure> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).ok_or("no process")?;
        kill_process(pid, Signal::TERM)?;
        let ended = async {
            loop {
                if let Some(status) = self.process.try_wait()? {
                    return Ok::<_, Failure>(status.success());
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, ended).await.map_err(|_| "the gateway does not end")?
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), Failure> {
        let io = TokioIo::new(UnixStream::connect(&self.admin).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        tokio::task::spawn_local(connection);
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Outcome {
    /// Fails if what was changed was refused.
    pub(crate) fn expect_done(self, changed: &str) -> Result<(), Failure> {
        match self {
            Self::Done => Ok(()),
            Self::Refused(text) => Err(format!("{changed} was refused: {text}").into()),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the address in the line that says where the gateway listens.
fn address_in(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    line.split_whitespace().find_map(|word| word.strip_prefix("address=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_log() {
        let log = "x INFO portcullis: started\nx INFO portcullis: listening listener=\"main\" address=127.0.0.1:4321 workers=2\n";
        assert_eq!(address_in(log), Some(SocketAddr::from(([127, 0, 0, 1], 4321))));
        assert_eq!(address_in("nothing"), None);
    }
}
