use portcullis_core::abi::{AbiVersion, HostcallId};
use portcullis_core::for_each_hostcall;
use portcullis_core::hostcall::entry;
use wasmtime::{Caller, Engine, Linker};

use crate::caller::{CallerCx, Data};

/// The hostcalls of an ABI version.
pub(crate) fn linker(engine: &Engine, abi: AbiVersion) -> wasmtime::Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    macro_rules! link {
        ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => { $(
            for module in HostcallId::$name.linked_modules(abi) {
                linker.func_wrap(module, stringify!($name), |caller: Caller<'_, Data>, $($arg: $ty),*| {
                    entry::$name(&mut CallerCx(caller), $($arg),*).map_err(wasmtime::Error::from)
                })?;
            }
        )* };
    }
    for_each_hostcall!(link);
    Ok(linker)
}
