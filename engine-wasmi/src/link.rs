use portcullis_core::abi::{AbiVersion, HostcallId};
use portcullis_core::for_each_hostcall;
use portcullis_core::hostcall::entry;
use wasmi::{Caller, Engine, Error, Linker};

use crate::caller::{CallerCx, Data};

/// The hostcalls of an ABI version.
pub(crate) fn linker(engine: &Engine, abi: AbiVersion) -> Result<Linker<Data>, Error> {
    let mut linker = Linker::new(engine);
    macro_rules! link {
        ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => { $(
            for module in HostcallId::$name.linked_modules(abi) {
                linker.func_wrap(module, stringify!($name), |caller: Caller<'_, Data>, $($arg: $ty),*| {
                    let mut caller = CallerCx(caller);
                    entry::$name(&mut caller, $($arg),*).map_err(|trap| caller.raise(trap))
                })?;
            }
        )* };
    }
    for_each_hostcall!(link);
    Ok(linker)
}
