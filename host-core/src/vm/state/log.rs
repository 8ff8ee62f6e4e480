//! Lines for the log: the guest's, and the host's about it.

use super::VmState;
use crate::abi::hostcall::HostcallId;
use crate::abi::{LogLevel, Status};
use crate::engine::trap::Trap;
use crate::resources::host::LogRecord;
use crate::rights::Family;
use crate::rights::rate::RateLimiter;
use crate::vm::output::OutputStream;

/// A budget of the sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UsedUp {
    Shared,
    Buffers,
}

impl VmState {
    /// Logs in the host's own name, about the plugin that runs.
    pub fn note(&mut self, level: LogLevel, message: &str) {
        self.flush_output();
        self.log_as(level, message.as_bytes(), true);
    }

    /// Warns of something that the guest does and that is of no use, at a bounded rate: it may do so in every stream.
    #[cold]
    pub(crate) fn remark(&mut self, message: &str) {
        let now = self.host.monotonic_clock();
        match self.denials.remark(now) {
            None => {}
            Some(0) => self.note(LogLevel::Warn, message),
            Some(more) => {
                self.note(LogLevel::Warn, &format!("{message} ({more} such lines before it were not logged)"))
            }
        }
    }

    /// Tells the operator that a budget is used up; the status that says so to the guest is this one.
    #[cold]
    pub(crate) fn used_up(&mut self, budget: UsedUp, status: Status) -> Status {
        self.remark(match budget {
            UsedUp::Shared => {
                "limits.shared is used up: what the plugin's sandbox adds to shared data, queues and metrics is refused; raise limits.shared, \
                 or have the plugin keep less"
            }
            UsedUp::Buffers => {
                "limits.buffers is used up: what the plugin's sandbox adds to bodies, local responses, callouts and properties is refused; raise \
                 limits.buffers, or have the plugin hold less"
            }
        });
        status
    }

    /// Logs what the guest says.
    ///
    /// # Errors
    /// The plugin's rules do not allow so much, and its operator has its VM end then. If not, the line is
    /// lost and the guest does not know: some SDKs give up when a line cannot be logged.
    #[inline]
    pub(crate) fn log(&mut self, level: LogLevel, message: &[u8]) -> Result<(), Trap> {
        self.flush_output();
        if self.may_log(Family::Log, HostcallId::proxy_log, level, message)? {
            self.log_as(level, message, false);
        }
        Ok(())
    }

    /// Returns whether the rules of the plugin allow one more line.
    #[inline]
    fn may_log(&mut self, family: Family, id: HostcallId, level: LogLevel, message: &[u8]) -> Result<bool, Trap> {
        let Some(rule) = self.rule(family) else { return Ok(true) };
        if level < self.host.log_level() {
            return Ok(true);
        }
        let now = self.host.monotonic_clock();
        let over =
            |limiter: &Option<RateLimiter>, count| limiter.as_ref().is_some_and(|limiter| !limiter.take(count, now));
        let key = match () {
            () if over(&rule.rate, 1) => "rate",
            () if over(&rule.byte_rate, message.len() as u64) => "bytes",
            () => return Ok(true),
        };
        self.deny(id, Some((key, None)))?;
        Ok(false)
    }

    /// Takes what the guest writes to its standard output or error; logs the lines that are complete.
    pub(crate) fn write_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        let mut output = std::mem::take(&mut self.output);
        output.write(stream, bytes, |line| self.log_line(stream, line));
        self.output = output;
    }

    /// Logs the lines that the guest has not ended, before something else is logged.
    #[inline(always)]
    pub(super) fn flush_output(&mut self) {
        if !self.output.is_empty() {
            self.log_unended();
        }
    }

    #[cold]
    fn log_unended(&mut self) {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            let line = self.output.take(stream);
            self.log_line(stream, &line);
        }
    }

    fn log_line(&mut self, stream: OutputStream, line: &[u8]) {
        let level = stream.level();
        // Lines are logged when a callback has ended, too, where no trap can be raised any more.
        if !line.is_empty() && matches!(self.may_log(Family::Output, HostcallId::fd_write, level, line), Ok(true)) {
            self.log_as(level, line, false);
        }
    }

    fn log_as(&mut self, level: LogLevel, message: &[u8], from_host: bool) {
        if level < self.host.log_level() {
            return;
        }
        let plugin = self.frame.plugin.as_deref();
        let (context, stream) = (self.frame.current, self.acting_for());
        self.host.log(&LogRecord { level, message, plugin, context, stream, from_host });
    }
}
