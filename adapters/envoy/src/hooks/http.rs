//! The hooks of HTTP filters.
//!
//! Threads: those of a configuration are called on the main thread, those of a filter on its worker. A filter is one that
//! `http_filter_new` has made and `http_filter_destroy` has not ended; both are Envoy's word. The hooks `destroy` run on any thread
//! (see [`call`](crate::call)), when no other hook of the filter or the configuration runs or will.

use std::ffi::c_void;
use std::ptr;

use portcullis::model::Direction;

use super::{configured, copy, drop_configured, filter, guard, joined, made};
use crate::abi::{self, EnvoyBytes, EnvoyHeader};
use crate::call::WOKEN;
use crate::callouts::Event;
use crate::envoy::Http;
use crate::handle::{Config as Handle, ROUTES, Stream, shared};
use crate::http::{BodyStatus, HeadersStatus, Slot, TrailersStatus};
use crate::process::{Config, Loaded};

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: abi::Config,
    name: EnvoyBytes,
    config: EnvoyBytes,
) -> *const c_void {
    guard("http_filter_config_new", ptr::null(), || {
        // SAFETY: Envoy keeps the bytes while the hook runs.
        let (name, text) = unsafe { (name.get(), config.get()) };
        let make = |envoy: &mut Handle<'_>| {
            let scheduler = envoy.scheduler();
            configured(|process| Config::new(process, &filter(name), text, scheduler, envoy)).cast()
        };
        // SAFETY: the hook runs.
        unsafe { Handle::enter(envoy, make) }.unwrap_or(ptr::null())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    // SAFETY: it is what config_new has returned, and Envoy uses it no more.
    guard("http_filter_config_destroy", (), || unsafe { drop_configured(config.cast::<Config>()) });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    name: EnvoyBytes,
    config: EnvoyBytes,
) -> *const c_void {
    guard("http_filter_per_route_config_new", ptr::null(), || {
        // SAFETY: Envoy keeps the bytes while the hook runs.
        let (name, text) = unsafe { (name.get(), config.get()) };
        made(|process| Loaded::new(process, &filter(name), text))
            .map_or(ptr::null(), |loaded| ROUTES.keep(loaded).cast())
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void) {
    guard("http_filter_per_route_config_destroy", (), || ROUTES.forget(config.cast()));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    _envoy: abi::Stream,
) -> *const c_void {
    guard("http_filter_new", ptr::null(), || {
        // SAFETY: it is what config_new has returned.
        let Some(config) = (unsafe { shared(config.cast::<Config>()) }) else { return ptr::null() };
        Box::into_raw(Box::new(Slot::new(&config.loaded))).cast_const().cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *const c_void) {
    guard("http_filter_destroy", (), || {
        if filter.is_null() {
            return;
        }
        // SAFETY: it is what new has returned, and Envoy calls no hook of it any more.
        let slot = unsafe { Box::from_raw(filter.cast::<Slot>().cast_mut()) };
        if let Some(filter) = slot.filter() {
            filter.close();
        }
    });
}

/// Runs a hook of a filter.
///
/// # Safety
/// `envoy` and `filter` are what Envoy has given to the hook that runs.
unsafe fn of<R>(
    name: &str,
    envoy: abi::Stream,
    filter: *const c_void,
    otherwise: R,
    hook: impl FnOnce(&mut Stream<'_>, &Slot) -> Option<R>,
) -> R {
    let run = || {
        // SAFETY: new has made it, and nobody borrows it for change, so that hooks may run within hooks.
        let slot = unsafe { filter.cast::<Slot>().as_ref() }?;
        // SAFETY: the hook runs.
        unsafe { Stream::enter(envoy, |stream| hook(stream, slot)) }?
    };
    match guard(name, Err(()), || Ok(run())) {
        Ok(done) => done.unwrap_or(otherwise),
        Err(()) => {
            // Nobody knows any more how far it is.
            // SAFETY: the hook runs.
            guard(name, (), || unsafe {
                Stream::enter(envoy, |stream| stream.cut(b"portcullis_panic"));
            });
            otherwise
        }
    }
}

macro_rules! headers {
    ($($hook:ident, $name:literal, $direction:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $hook(envoy: abi::Stream, filter: *const c_void, end: bool) -> u32 {
            // SAFETY: these are Envoy's.
            let status = unsafe {
                of($name, envoy, filter, HeadersStatus::StopIteration, |stream, slot| {
                    Some(slot.headers(stream, Direction::$direction, end))
                })
            };
            status as u32
        }
    )*};
}

headers! {
    envoy_dynamic_module_on_http_filter_request_headers, "http_filter_request_headers", Request;
    envoy_dynamic_module_on_http_filter_response_headers, "http_filter_response_headers", Response;
}

macro_rules! body {
    ($($hook:ident, $name:literal, $direction:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $hook(envoy: abi::Stream, filter: *const c_void, end: bool) -> u32 {
            // SAFETY: these are Envoy's.
            let status = unsafe {
                of($name, envoy, filter, BodyStatus::StopIterationNoBuffer, |stream, slot| {
                    Some(match (slot.filter(), Direction::$direction) {
                        (Some(filter), direction) => filter.body(stream, direction, end),
                        // The answer to a stream that has no plugin.
                        (None, Direction::Response) => BodyStatus::Continue,
                        (None, Direction::Request) => BodyStatus::StopIterationNoBuffer,
                    })
                })
            };
            status as u32
        }
    )*};
}

body! {
    envoy_dynamic_module_on_http_filter_request_body, "http_filter_request_body", Request;
    envoy_dynamic_module_on_http_filter_response_body, "http_filter_response_body", Response;
}

macro_rules! trailers {
    ($($hook:ident, $name:literal, $direction:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $hook(envoy: abi::Stream, filter: *const c_void) -> u32 {
            // SAFETY: these are Envoy's.
            let status = unsafe {
                of($name, envoy, filter, TrailersStatus::StopIteration, |stream, slot| {
                    Some(match (slot.filter(), Direction::$direction) {
                        (Some(filter), direction) => filter.trailers(stream, direction),
                        (None, Direction::Response) => TrailersStatus::Continue,
                        (None, Direction::Request) => TrailersStatus::StopIteration,
                    })
                })
            };
            status as u32
        }
    )*};
}

trailers! {
    envoy_dynamic_module_on_http_filter_request_trailers, "http_filter_request_trailers", Request;
    envoy_dynamic_module_on_http_filter_response_trailers, "http_filter_response_trailers", Response;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(envoy: abi::Stream, filter: *const c_void) {
    // SAFETY: these are Envoy's.
    unsafe {
        of("http_filter_stream_complete", envoy, filter, (), |stream, slot| {
            slot.filter()?.complete(Some(stream));
            Some(())
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: abi::Stream,
    filter: *const c_void,
    event: u64,
) {
    // SAFETY: these are Envoy's.
    unsafe {
        of("http_filter_scheduled", envoy, filter, (), |stream, slot| {
            if event == WOKEN {
                slot.filter()?.woken(stream);
            }
            Some(())
        });
    }
}

/// Runs a hook of a configuration.
///
/// # Safety
/// `envoy` and `config` are what Envoy has given to the hook that runs.
unsafe fn of_config(
    name: &str,
    envoy: abi::Config,
    config: *const c_void,
    hook: impl FnOnce(&mut Handle<'_>, &Config),
) {
    guard(name, (), || {
        // SAFETY: config_new has made it.
        let Some(config) = (unsafe { shared(config.cast::<Config>()) }) else { return };
        // SAFETY: the hook runs.
        unsafe { Handle::enter(envoy, |envoy| hook(envoy, &config)) };
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    envoy: abi::Config,
    config: *const c_void,
    event: u64,
) {
    // SAFETY: these are Envoy's.
    unsafe { of_config("http_filter_config_scheduled", envoy, config, |envoy, config| config.called(envoy, event)) };
}

/// Passes an event of a request that the main thread makes on.
///
/// # Safety
/// `envoy` and `config` are what Envoy has given to the hook that runs.
unsafe fn answered(name: &str, envoy: abi::Config, config: *const c_void, id: u64, event: impl FnOnce() -> Event) {
    // SAFETY: see above.
    unsafe { of_config(name, envoy, config, |envoy, config| config.exchanges.event(envoy, id, event())) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    envoy: abi::Config,
    config: *const c_void,
    id: u64,
    headers: *const EnvoyHeader,
    count: usize,
    end: bool,
) {
    // SAFETY: these are Envoy's, and it keeps the headers while the hook runs.
    unsafe {
        answered("http_filter_config_http_stream_headers", envoy, config, id, || Event::Headers {
            headers: copy(headers, count),
            end,
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    envoy: abi::Config,
    config: *const c_void,
    id: u64,
    data: *const EnvoyBytes,
    count: usize,
    end: bool,
) {
    // SAFETY: these are Envoy's, and it keeps the data while the hook runs.
    unsafe {
        answered("http_filter_config_http_stream_data", envoy, config, id, || Event::Data {
            data: joined(data, count),
            end,
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    envoy: abi::Config,
    config: *const c_void,
    id: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    // SAFETY: these are Envoy's, and it keeps the trailers while the hook runs.
    unsafe {
        answered("http_filter_config_http_stream_trailers", envoy, config, id, || {
            Event::Trailers(copy(trailers, count))
        });
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    envoy: abi::Config,
    config: *const c_void,
    id: u64,
) {
    // SAFETY: these are Envoy's.
    unsafe { answered("http_filter_config_http_stream_complete", envoy, config, id, || Event::Complete) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    envoy: abi::Config,
    config: *const c_void,
    id: u64,
    reason: u32,
) {
    // SAFETY: these are Envoy's.
    unsafe { answered("http_filter_config_http_stream_reset", envoy, config, id, || Event::Reset(reason)) };
}

/// Lets a local reply of any filter's pass; plugins see it as a response.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: abi::Stream,
    _filter: *const c_void,
    _status: u32,
    _details: EnvoyBytes,
    _reset_imminent: bool,
) -> u32 {
    const CONTINUE: u32 = 0;
    CONTINUE
}

/// Hooks without which Envoy refuses the module, for what it does not use.
macro_rules! unused {
    ($( $hook:ident($($type:ty),*); )*) => {
        $( #[unsafe(no_mangle)] extern "C" fn $hook($(_: $type),*) {} )*
    };
}

unused! {
    envoy_dynamic_module_on_http_filter_http_callout_done(
        abi::Stream, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBytes, usize);
    envoy_dynamic_module_on_http_filter_http_stream_headers(
        abi::Stream, *const c_void, u64, *const EnvoyHeader, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(
        abi::Stream, *const c_void, u64, *const EnvoyBytes, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(
        abi::Stream, *const c_void, u64, *const EnvoyHeader, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(abi::Stream, *const c_void, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(abi::Stream, *const c_void, u64, u32);
    envoy_dynamic_module_on_http_filter_config_http_callout_done(
        abi::Config, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBytes, usize);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(abi::Stream, *const c_void);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(abi::Stream, *const c_void);
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use crate::abi::table::{compare, read};
    use crate::abi::{Config, EnvoyBytes, EnvoyHeader, Stream};

    declared! {
        envoy_dynamic_module_on_http_filter_config_new: fn(Config, EnvoyBytes, EnvoyBytes) -> *const c_void;
        envoy_dynamic_module_on_http_filter_config_destroy: fn(*const c_void);
        envoy_dynamic_module_on_http_filter_per_route_config_new: fn(EnvoyBytes, EnvoyBytes) -> *const c_void;
        envoy_dynamic_module_on_http_filter_per_route_config_destroy: fn(*const c_void);
        envoy_dynamic_module_on_http_filter_new: fn(*const c_void, Stream) -> *const c_void;
        envoy_dynamic_module_on_http_filter_request_headers: fn(Stream, *const c_void, bool) -> u32;
        envoy_dynamic_module_on_http_filter_request_body: fn(Stream, *const c_void, bool) -> u32;
        envoy_dynamic_module_on_http_filter_request_trailers: fn(Stream, *const c_void) -> u32;
        envoy_dynamic_module_on_http_filter_response_headers: fn(Stream, *const c_void, bool) -> u32;
        envoy_dynamic_module_on_http_filter_response_body: fn(Stream, *const c_void, bool) -> u32;
        envoy_dynamic_module_on_http_filter_response_trailers: fn(Stream, *const c_void) -> u32;
        envoy_dynamic_module_on_http_filter_stream_complete: fn(Stream, *const c_void);
        envoy_dynamic_module_on_http_filter_destroy: fn(*const c_void);
        envoy_dynamic_module_on_http_filter_http_callout_done: fn(Stream, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBytes, usize);
        envoy_dynamic_module_on_http_filter_http_stream_headers: fn(Stream, *const c_void, u64, *const EnvoyHeader, usize, bool);
        envoy_dynamic_module_on_http_filter_http_stream_data: fn(Stream, *const c_void, u64, *const EnvoyBytes, usize, bool);
        envoy_dynamic_module_on_http_filter_http_stream_trailers: fn(Stream, *const c_void, u64, *const EnvoyHeader, usize);
        envoy_dynamic_module_on_http_filter_http_stream_complete: fn(Stream, *const c_void, u64);
        envoy_dynamic_module_on_http_filter_http_stream_reset: fn(Stream, *const c_void, u64, u32);
        envoy_dynamic_module_on_http_filter_scheduled: fn(Stream, *const c_void, u64);
        envoy_dynamic_module_on_http_filter_config_scheduled: fn(Config, *const c_void, u64);
        envoy_dynamic_module_on_http_filter_config_http_callout_done: fn(Config, *const c_void, u64, u32, *const EnvoyHeader, usize, *const EnvoyBytes, usize);
        envoy_dynamic_module_on_http_filter_config_http_stream_headers: fn(Config, *const c_void, u64, *const EnvoyHeader, usize, bool);
        envoy_dynamic_module_on_http_filter_config_http_stream_data: fn(Config, *const c_void, u64, *const EnvoyBytes, usize, bool);
        envoy_dynamic_module_on_http_filter_config_http_stream_trailers: fn(Config, *const c_void, u64, *const EnvoyHeader, usize);
        envoy_dynamic_module_on_http_filter_config_http_stream_complete: fn(Config, *const c_void, u64);
        envoy_dynamic_module_on_http_filter_config_http_stream_reset: fn(Config, *const c_void, u64, u32);
        envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark: fn(Stream, *const c_void);
        envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark: fn(Stream, *const c_void);
        envoy_dynamic_module_on_http_filter_local_reply: fn(Stream, *const c_void, u32, EnvoyBytes, bool) -> u32;
    }

    #[test]
    fn hooks_are_declared_as_the_list_has_them() {
        let mut entries = read("hook");
        for (name, declared) in DECLARED {
            compare(&entries, name, declared);
            entries.remove(name);
        }
        let missing =
            entries.iter().filter(|(name, entry)| entry.must && name.starts_with("envoy_dynamic_module_on_http_"));
        assert_eq!(missing.count(), 0, "{entries:?}");
    }
}
