use crate::abi::LogLevel;
use crate::hostcall::{Hostcall, HostcallResult, Reply};

/// Logs a message of any bytes (spec: `proxy_log`).
#[inline(always)]
pub(in crate::hostcall) fn log(call: Hostcall<'_>, level: i32, message: i32, message_len: i32) -> HostcallResult {
    let level = LogLevel::try_from(level)?;
    let message = call.memory.slice(message, message_len)?;
    call.vm.log(level, message)?;
    Ok(Reply::Done)
}

/// Returns the lowest level that is logged (spec: `proxy_get_log_level`).
#[inline(always)]
pub(in crate::hostcall) fn get_log_level(mut call: Hostcall<'_>, ret_level: i32) -> HostcallResult {
    call.memory.write_u32(ret_level, call.vm.host.log_level() as u32)?;
    Ok(Reply::Done)
}
