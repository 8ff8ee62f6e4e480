use std::time::Duration;

use portcullis_core::{Guest, Limits, StartError, Trap, VmState, for_each_callback};
use wasmtime::{AsContextMut, Engine, Store, TypedFunc};

use crate::caller::Data;
use crate::error::{cannot_instantiate, trap};
use crate::{Module, TICK};

/// A guest.
pub struct Instance {
    store: Store<Data>,
    exports: Exports,
    /// How many beats of the clock a callback may take.
    ticks: u64,
}

impl Instance {
    pub(crate) fn new(engine: &Engine, module: &Module, vm: VmState, limits: &Limits) -> Result<Self, StartError> {
        let mut store = Store::new(engine, Data { vm, memory: None, malloc: None });
        store.limiter(|data| data);
        store.set_epoch_deadline(ticks(limits.start_deadline));
        let instance = module.pre.instantiate(&mut store).map_err(cannot_instantiate)?;
        let memory = instance.get_memory(&mut store, &module.memory);
        let malloc = instance.get_typed_func(&mut store, module.allocator).ok();
        let data = store.data_mut();
        (data.memory, data.malloc) = (memory, malloc);
        let exports = Exports::resolve(instance, &mut store);
        Ok(Self { store, exports, ticks: ticks(limits.deadline) })
    }
}

/// Whole beats, one more because the first may come at once.
fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(TICK.as_nanos());
    u64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) + 1
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// The callbacks that the guest exports in these types.
        struct Exports { $( $method: Option<TypedFunc<($($ty,)*), $ret>>, )* }

        impl Exports {
            fn resolve(instance: wasmtime::Instance, mut store: impl AsContextMut) -> Self {
                Self { $( $method: instance.get_func(&mut store, $export).and_then(|f| f.typed(&store).ok()), )* }
            }
        }

        impl Guest for Instance {
            fn state(&mut self) -> &mut VmState {
                &mut self.store.data_mut().vm
            }

            fn set_deadline(&mut self, deadline: Duration) {
                self.ticks = ticks(deadline);
            }

            fn memory_size(&mut self) -> usize {
                self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    let Some(callback) = &self.exports.$method else { return Ok(None) };
                    self.store.set_epoch_deadline(self.ticks);
                    callback.call(&mut self.store, ($($arg,)*)).map(Some).map_err(trap)
                }
            )*
        }
    };
}
for_each_callback!(guest);
