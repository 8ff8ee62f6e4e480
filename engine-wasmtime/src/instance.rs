use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::engine::{Guest, StartError, Trap};
use portcullis_core::for_each_callback;
use portcullis_core::model::Limits;
use portcullis_core::vm::VmState;
use wasmtime::{AsContextMut, ModuleExport, Store, TypedFunc, Val};

use crate::caller::Data;
use crate::error::{cannot_instantiate, trap};
use crate::sampler::{self, Sampler};
use crate::{Module, Wasmtime};

/// A guest.
pub struct Instance {
    store: Store<Data>,
    instance: wasmtime::Instance,
    exports: Exports,
    /// Its code, if it may be sampled.
    sampled: Option<wasmtime::Module>,
    /// How far apart the clock beats.
    tick: Duration,
    deadline: Duration,
    /// How many beats of the clock a callback may take.
    ticks: u64,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) fn new(engine: &Wasmtime, module: &Module, vm: VmState, limits: &Limits) -> Result<Self, StartError> {
        let tick = engine.tick();
        let lines = Arc::clone(&module.lines);
        let mut store = Store::new(&engine.engine, Data { vm, lines, memory: None, malloc: None, sampler: None });
        store.limiter(|data| data);
        store.set_epoch_deadline(ticks(limits.start_deadline, tick));
        let instance = module.pre.instantiate(&mut store);
        let instance = instance.map_err(|error| cannot_instantiate(error, limits, &module.lines))?;
        let memory = instance.get_memory(&mut store, &module.memory);
        let malloc = instance.get_typed_func(&mut store, module.allocator).ok().map(Arc::new);
        let data = store.data_mut();
        (data.memory, data.malloc) = (memory, malloc);
        let exports = Exports::resolve(instance, &module.places, &mut store);
        let sampled = engine.settings.samples.then(|| module.pre.module().clone());
        let deadline = limits.deadline;
        Ok(Self { store, instance, exports, sampled, tick, deadline, ticks: ticks(deadline, tick) })
    }
}

/// A callback begins, and its deadline.
#[inline]
fn arm(store: &mut Store<Data>, deadline: Duration, ticks: u64) {
    match &mut store.data_mut().sampler {
        None => store.set_epoch_deadline(ticks),
        Some(sampler) => {
            sampler.begin(deadline);
            store.set_epoch_deadline(1);
        }
    }
}

/// Whole beats, one more because the first may come at once.
fn ticks(deadline: Duration, tick: Duration) -> u64 {
    let ticks = deadline.as_nanos().div_ceil(tick.as_nanos());
    u64::from(u32::try_from(ticks).unwrap_or(u32::MAX)) + 1
}

macro_rules! guest {
    ($( $method:ident = $export:literal($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident; )*) => {
        /// Where the exports of a module are that have the names of callbacks.
        pub(crate) struct Places { $( $method: Option<ModuleExport>, )* }

        impl Places {
            pub(crate) fn find(module: &wasmtime::Module) -> Self {
                let find = |export| module.get_export_index(export);
                Self { $( $method: find($export), )* }
            }
        }

        /// The callbacks that the guest exports in these types.
        struct Exports { $( $method: Option<TypedFunc<($($ty,)*), $ret>>, )* }

        impl Exports {
            fn resolve(instance: wasmtime::Instance, places: &Places, mut store: impl AsContextMut) -> Self {
                Self { $( $method: places.$method.as_ref().and_then(|place| {
                    instance.get_module_export(&mut store, place)?.into_func()?.typed(&store).ok()
                }), )* }
            }
        }

        impl Guest for Instance {
            fn state(&mut self) -> &mut VmState {
                &mut self.store.data_mut().vm
            }

            fn set_deadline(&mut self, deadline: Duration) {
                (self.deadline, self.ticks) = (deadline, ticks(deadline, self.tick));
            }

            fn memory(&mut self) -> &[u8] {
                self.store.data().memory.map_or(&[], |memory| memory.data(&self.store))
            }

            fn global(&mut self, export: &str) -> Option<u128> {
                let global = self.instance.get_global(&mut self.store, export)?;
                match global.get(&mut self.store) {
                    Val::I32(number) => Some(number.cast_unsigned().into()),
                    Val::I64(number) => Some(number.cast_unsigned().into()),
                    Val::F32(bits) => Some(bits.into()),
                    Val::F64(bits) => Some(bits.into()),
                    Val::V128(vector) => Some(vector.into()),
                    _ => None,
                }
            }

            fn begin_samples(&mut self, name: &str) {
                let Some(module) = &self.sampled else { return };
                if let Some(sampler) = Sampler::new(name, module) {
                    self.store.data_mut().sampler = Some(Box::new(sampler));
                    self.store.epoch_deadline_callback(sampler::beat);
                }
            }

            fn take_samples(&mut self) -> Option<Vec<u8>> {
                let sampler = self.store.data_mut().sampler.take()?;
                self.store.epoch_deadline_trap();
                sampler.finish()
            }

            $(
                fn $method(&mut self, $($arg: $ty),*) -> Result<Option<$ret>, Trap> {
                    let Some(callback) = &self.exports.$method else { return Ok(None) };
                    arm(&mut self.store, self.deadline, self.ticks);
                    let returned = callback.call(&mut self.store, ($($arg,)*));
                    returned.map(Some).map_err(|error| trap(error, &self.store.data().lines))
                }
            )*
        }
    };
}
for_each_callback!(guest);
