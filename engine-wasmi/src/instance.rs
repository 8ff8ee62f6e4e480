use std::fmt;
use std::time::{Duration, Instant};

use portcullis_core::engine::{CallStack, Guest, StartError, Trap};
use portcullis_core::for_each_callback;
use portcullis_core::model::Limits;
use portcullis_core::vm::VmState;
use wasmi::{Engine, Store, TrapCode, TypedFunc, Val};

use crate::Module;
use crate::caller::{Data, run};
use crate::error::{cannot, is_of_start};

/// A guest.
pub struct Instance {
    store: Store<Data>,
    instance: wasmi::Instance,
    exports: Exports,
    deadline: Duration,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Instance {
    /// A start section cannot be paused. But it has no effect outside the guest before it ends, so
    /// when its fuel runs out it is begun anew with twice as much, until its time is up.
    pub(crate) fn new(engine: &Engine, module: &Module, vm: VmState, limits: &Limits) -> Result<Self, StartError> {
        const FIRST: u64 = 10_000_000;
        let mut data = Data::new(vm);
        data.start_clock(limits.start_deadline);
        let mut fuel = FIRST;
        loop {
            let mut store = Store::new(engine, data);
            store.limiter(|data| data);
            store.set_fuel(fuel).map_err(cannot("count fuel"))?;
            match module.linker.instantiate_and_start(&mut store, &module.module) {
                Ok(instance) => return Ok(Self::resolve(store, instance, module, limits)),
                Err(error) if error.as_trap_code() == Some(TrapCode::OutOfFuel) => {
                    data = store.into_data();
                    if Instant::now() >= data.expires {
                        return Err(StartError::start_section(&Trap::Deadline(CallStack::default()), limits));
                    }
                    data.vm.budget().reset();
                    fuel = fuel.saturating_mul(2);
                }
                Err(error) if is_of_start(&error) => {
                    return Err(StartError::start_section(&store.data_mut().trap(&error), limits));
                }
                Err(error) => return Err(cannot("instantiate the module")(error).into()),
            }
        }
    }

    fn resolve(mut store: Store<Data>, instance: wasmi::Instance, module: &Module, limits: &Limits) -> Self {
        let memory = instance.get_memory(&store, &module.memory);
        let malloc = instance.get_typed_func(&store, module.allocator).ok();
        let data = store.data_mut();
        (data.memory, data.malloc) = (memory, malloc);
        let exports = Exports::resolve(instance, &store);
        Self { store, instance, exports, deadline: limits.deadline }
    }
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// The callbacks that the guest exports in these types.
        struct Exports { $( $method: Option<TypedFunc<($($ty,)*), $ret>>, )* }

        impl Exports {
            fn resolve(instance: wasmi::Instance, store: &Store<Data>) -> Self {
                Self { $( $method: instance.get_typed_func(store, $export).ok(), )* }
            }
        }

        impl Guest for Instance {
            fn state(&mut self) -> &mut VmState {
                &mut self.store.data_mut().vm
            }

            fn set_deadline(&mut self, deadline: Duration) {
                self.deadline = deadline;
            }

            fn memory(&mut self) -> &[u8] {
                self.store.data().memory.map_or(&[], |memory| memory.data(&self.store))
            }

            fn global(&mut self, export: &str) -> Option<u128> {
                match self.instance.get_global(&self.store, export)?.get(&self.store) {
                    Val::I32(number) => Some(number.cast_unsigned().into()),
                    Val::I64(number) => Some(number.cast_unsigned().into()),
                    Val::F32(number) => Some(number.to_bits().into()),
                    Val::F64(number) => Some(number.to_bits().into()),
                    Val::V128(vector) => Some(vector.as_u128()),
                    _ => None,
                }
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    let Some(callback) = self.exports.$method else { return Ok(None) };
                    self.store.data_mut().start_clock(self.deadline);
                    run(&callback, &mut self.store, ($($arg,)*)).map(Some)
                }
            )*
        }
    };
}
for_each_callback!(guest);
