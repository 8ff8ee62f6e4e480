//! The hooks of network filters. Threads and lives are those of [`http`](super::http).

use std::ffi::c_void;
use std::ptr;

use portcullis::abi::PeerType;
use portcullis::model::Direction;

use super::{configured, copy, drop_configured, filter, guard, joined};
use crate::abi::{self, EnvoyBytes, EnvoyHeader};
use crate::call::WOKEN;
use crate::callouts::{Event, REQUESTS};
use crate::envoy::Tcp;
use crate::handle::{Connection, shared};
use crate::process::Loaded;
use crate::tcp::{DataStatus, Filter};

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    _envoy: abi::NetworkConfig,
    name: EnvoyBytes,
    config: EnvoyBytes,
) -> *const c_void {
    guard("network_filter_config_new", ptr::null(), || {
        // SAFETY: Envoy keeps the bytes while the hook runs.
        let (name, text) = unsafe { (name.get(), config.get()) };
        configured(|process| Loaded::new(process, &filter(name), text)).cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const c_void) {
    // SAFETY: it is what config_new has returned, and Envoy uses it no more.
    guard("network_filter_config_destroy", (), || unsafe { drop_configured(config.cast::<Loaded>()) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new(
    config: *const c_void,
    envoy: abi::Connection,
) -> *const c_void {
    guard("network_filter_new", ptr::null(), || {
        // SAFETY: it is what config_new has returned.
        let Some(loaded) = (unsafe { shared(config.cast::<Loaded>()) }) else { return ptr::null() };
        // SAFETY: the hook runs.
        let filter = unsafe { Connection::enter(envoy, |envoy| Filter::new(&loaded, envoy)) };
        filter.flatten().map_or(ptr::null(), |filter| Box::into_raw(Box::new(filter)).cast_const().cast())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_destroy(filter: *const c_void) {
    guard("network_filter_destroy", (), || {
        if filter.is_null() {
            return;
        }
        // SAFETY: it is what new has returned, and Envoy calls no hook of it any more.
        let filter = unsafe { Box::from_raw(filter.cast::<Filter>().cast_mut()) };
        filter.finish();
    });
}

/// Runs a hook of a filter. A connection whose hook panics is cut.
///
/// # Safety
/// `envoy` and `filter` are what Envoy has given to the hook that runs.
unsafe fn of(
    name: &str,
    envoy: abi::Connection,
    filter: *const c_void,
    hook: impl FnOnce(&mut Connection<'_>, &Filter) -> DataStatus,
) -> u32 {
    let run = || {
        // SAFETY: new has made it, and nobody borrows it for change, so that hooks may run within hooks.
        let filter = unsafe { filter.cast::<Filter>().as_ref() }?;
        // SAFETY: the hook runs.
        unsafe { Connection::enter(envoy, |envoy| hook(envoy, filter)) }
    };
    let status = match guard(name, Err(()), || Ok(run())) {
        Ok(status) => status.unwrap_or(DataStatus::Continue),
        Err(()) => {
            // SAFETY: the hook runs.
            guard(name, (), || unsafe {
                Connection::enter(envoy, |envoy| envoy.cut(b"portcullis_panic"));
            });
            DataStatus::StopIteration
        }
    };
    status as u32
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(
    envoy: abi::Connection,
    filter: *const c_void,
) -> u32 {
    // SAFETY: these are Envoy's.
    unsafe { of("network_filter_new_connection", envoy, filter, |envoy, filter| filter.connected(envoy)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_read(
    envoy: abi::Connection,
    filter: *const c_void,
    _length: usize,
    end: bool,
) -> u32 {
    // SAFETY: these are Envoy's.
    unsafe { of("network_filter_read", envoy, filter, |envoy, filter| filter.data(envoy, Direction::Request, end)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_write(
    envoy: abi::Connection,
    filter: *const c_void,
    _length: usize,
    end: bool,
) -> u32 {
    // SAFETY: these are Envoy's.
    unsafe { of("network_filter_write", envoy, filter, |envoy, filter| filter.data(envoy, Direction::Response, end)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_event(
    envoy: abi::Connection,
    filter: *const c_void,
    event: u32,
) {
    let by = match event {
        0 => PeerType::Remote,
        1 => PeerType::Local,
        // It was connected.
        _ => return,
    };
    // SAFETY: these are Envoy's.
    unsafe {
        of("network_filter_event", envoy, filter, |envoy, filter| {
            filter.closed(envoy, by);
            DataStatus::Continue
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_scheduled(
    envoy: abi::Connection,
    filter: *const c_void,
    event: u64,
) {
    // SAFETY: these are Envoy's.
    unsafe {
        of("network_filter_scheduled", envoy, filter, |envoy, filter| {
            match event {
                WOKEN => filter.woken(envoy),
                REQUESTS => filter.call_out(envoy),
                _ => {}
            }
            DataStatus::Continue
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_http_callout_done(
    envoy: abi::Connection,
    filter: *const c_void,
    id: u64,
    result: u32,
    headers: *const EnvoyHeader,
    count: usize,
    body: *const EnvoyBytes,
    body_count: usize,
) {
    const SUCCESS: u32 = 0;
    const TOO_LARGE: u32 = 2;
    const REMOTE_RESET: u32 = 5;
    // SAFETY: these are Envoy's, and it keeps the arrays while the hook runs.
    unsafe {
        of("network_filter_http_callout_done", envoy, filter, |envoy, filter| {
            let events = match result {
                SUCCESS => vec![
                    Event::Headers { headers: copy(headers, count), end: false },
                    Event::Data { data: joined(body, body_count), end: true },
                    Event::Complete,
                ],
                TOO_LARGE => vec![Event::TooLarge, Event::Complete],
                _ => vec![Event::Reset(REMOTE_RESET)],
            };
            events.into_iter().for_each(|event| filter.exchanges.event(envoy, id, event));
            DataStatus::Continue
        });
    }
}

/// Hooks of what the module does not use.
macro_rules! unused {
    ($( $hook:ident($($type:ty),*); )*) => {
        $( #[unsafe(no_mangle)] extern "C" fn $hook($(_: $type),*) {} )*
    };
}

unused! {
    envoy_dynamic_module_on_network_filter_config_scheduled(*const c_void, u64);
    envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(abi::Connection, *const c_void);
    envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(abi::Connection, *const c_void);
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use crate::abi::table::{compare, read};
    use crate::abi::{Connection, EnvoyBytes, EnvoyHeader, NetworkConfig};

    declared! {
        envoy_dynamic_module_on_network_filter_config_new: fn(NetworkConfig, EnvoyBytes, EnvoyBytes) -> *const c_void;
        envoy_dynamic_module_on_network_filter_config_destroy: fn(*const c_void);
        envoy_dynamic_module_on_network_filter_new: fn(*const c_void, Connection) -> *const c_void;
        envoy_dynamic_module_on_network_filter_new_connection: fn(Connection, *const c_void) -> u32;
        envoy_dynamic_module_on_network_filter_read: fn(Connection, *const c_void, usize, bool) -> u32;
        envoy_dynamic_module_on_network_filter_write: fn(Connection, *const c_void, usize, bool) -> u32;
        envoy_dynamic_module_on_network_filter_event: fn(Connection, *const c_void, u32);
        envoy_dynamic_module_on_network_filter_destroy: fn(*const c_void);
        envoy_dynamic_module_on_network_filter_http_callout_done: fn(Connection, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBytes, usize);
        envoy_dynamic_module_on_network_filter_scheduled: fn(Connection, *const c_void, u64);
        envoy_dynamic_module_on_network_filter_config_scheduled: fn(*const c_void, u64);
        envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark: fn(Connection, *const c_void);
        envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark: fn(Connection, *const c_void);
    }

    #[test]
    fn hooks_are_declared_as_the_list_has_them() {
        let mut entries = read("hook");
        for (name, declared) in DECLARED {
            compare(&entries, name, declared);
            entries.remove(name);
        }
        let missing =
            entries.iter().filter(|(name, entry)| entry.must && name.starts_with("envoy_dynamic_module_on_network_"));
        assert_eq!(missing.count(), 0, "{entries:?}");
    }
}
