use portcullis_core::abi::HostcallId;
use portcullis_core::for_each_hostcall;
use portcullis_core::hostcall::entry;
use wasmer::{Function, FunctionEnv, FunctionEnvMut, Imports, RuntimeError, Store};

use crate::About;
use crate::caller::{CallerCx, Data};
use crate::meter;

/// The hostcalls that a module imports, and what its checks call.
pub(crate) fn imports(store: &mut Store, env: &FunctionEnv<Data>, about: &About) -> Imports {
    let mut imports = Imports::new();
    macro_rules! link {
        ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => { $(
            if about.imports.contains(&HostcallId::$name) {
                for module in HostcallId::$name.linked_modules(about.abi) {
                    let hostcall = |env: FunctionEnvMut<'_, Data>, $($arg: $ty),*| entry::$name(&mut CallerCx(env), $($arg),*);
                    imports.define(module, stringify!($name), Function::new_typed_with_env(store, env, hostcall));
                }
            }
        )* };
    }
    for_each_hostcall!(link);
    // Made here, while the guest's functions are on the stack, the error has their names.
    let check = |env: FunctionEnvMut<'_, Data>| env.data().check().map_err(|trap| RuntimeError::user(Box::new(trap)));
    imports.define(meter::MODULE, meter::CHECK, Function::new_typed_with_env(store, env, check));
    let memory = |mut env: FunctionEnvMut<'_, Data>, delta, pages| env.data_mut().grow_memory(delta, pages);
    imports.define(meter::MODULE, meter::GROW_MEMORY, Function::new_typed_with_env(store, env, memory));
    let table = |mut env: FunctionEnvMut<'_, Data>, delta, elements, maximum| {
        env.data_mut().grow_table(delta, elements, maximum)
    };
    imports.define(meter::MODULE, meter::GROW_TABLE, Function::new_typed_with_env(store, env, table));
    imports
}
