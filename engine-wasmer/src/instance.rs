use std::fmt;
use std::time::Duration;

use portcullis_core::engine::{Guest, StartError, Trap};
use portcullis_core::for_each_callback;
use portcullis_core::model::Limits;
use portcullis_core::vm::VmState;
use wasmer::{AsStoreMut, Engine, FunctionEnv, Store, TypedFunction, Value};

use crate::Module;
use crate::bound::Bound;
use crate::caller::{Data, bytes};
use crate::error::{cannot_instantiate, trap};
use crate::link;

/// A guest. Its store is bound to the thread that made it.
pub struct Instance(Bound<Parts>);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

struct Parts {
    store: Store,
    env: FunctionEnv<Data>,
    instance: wasmer::Instance,
    exports: Exports,
    deadline: Duration,
}

impl Instance {
    pub(crate) fn new(engine: &Engine, module: &Module, mut vm: VmState, limits: &Limits) -> Result<Self, StartError> {
        let info = module.module.info();
        for table in info.tables.values() {
            // The core has checked that they fit.
            vm.budget().grow_table(0, table.minimum as usize, None);
        }
        let maximum = info.memories.values().next().and_then(|memory| memory.maximum);
        let mut data = Data::new(vm, maximum.map(|pages| pages.bytes().0));
        data.start_clock(limits.start_deadline);
        let mut store = Store::new(engine.clone());
        let env = FunctionEnv::new(&mut store, data);
        let imports = link::imports(&mut store, &env, &module.about);
        let instance = wasmer::Instance::new(&mut store, &module.module, &imports)
            .map_err(|error| cannot_instantiate(error, limits))?;
        let memory = instance.exports.get_memory(&module.about.memory).ok().cloned();
        let malloc = instance.exports.get_typed_function(&store, module.about.allocator).ok();
        let exports = Exports::resolve(&instance, &store);
        let data = env.as_mut(&mut store);
        (data.memory, data.malloc) = (memory, malloc);
        Ok(Self(Bound::new(Parts { store, env, instance, exports, deadline: limits.deadline })))
    }
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// The callbacks that the guest exports in these types.
        #[allow(unused_parens, reason = "wasmer writes one parameter without a tuple")]
        struct Exports { $( $method: Option<TypedFunction<($($ty),*), $ret>>, )* }

        impl Exports {
            fn resolve(instance: &wasmer::Instance, store: &Store) -> Self {
                Self { $( $method: instance.exports.get_typed_function(store, $export).ok(), )* }
            }
        }

        impl Guest for Instance {
            fn state(&mut self) -> &mut VmState {
                let Parts { env, store, .. } = self.0.get_mut();
                &mut env.as_mut(store).vm
            }

            fn set_deadline(&mut self, deadline: Duration) {
                self.0.get_mut().deadline = deadline;
            }

            fn memory(&mut self) -> &[u8] {
                let Parts { env, store, .. } = self.0.get_mut();
                let memory = env.as_ref(store).memory.clone();
                memory.map_or(&[], |memory| bytes(&memory, store.as_store_mut()))
            }

            fn global(&mut self, export: &str) -> Option<u128> {
                let Parts { instance, store, .. } = self.0.get_mut();
                match instance.exports.get_global(export).ok()?.get(store) {
                    Value::I32(number) => Some(number.cast_unsigned().into()),
                    Value::I64(number) => Some(number.cast_unsigned().into()),
                    Value::F32(number) => Some(number.to_bits().into()),
                    Value::F64(number) => Some(number.to_bits().into()),
                    Value::V128(vector) => Some(vector),
                    _ => None,
                }
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    let Parts { store, env, exports, deadline, .. } = self.0.get_mut();
                    let Some(callback) = &exports.$method else { return Ok(None) };
                    env.as_mut(store).start_clock(*deadline);
                    callback.call(store, $($arg),*).map(Some).map_err(trap)
                }
            )*
        }
    };
}
for_each_callback!(guest);
