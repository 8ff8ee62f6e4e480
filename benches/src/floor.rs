//! The cost of a crossing on a bare engine, without a host: the lower bound of all other measurements.
//!
//! The guest loops as that of [`looping`](crate::looping) does, and its only import adds to a number that the host keeps.
//! The engine has the settings that a host for untrusted guests needs (wasmtime: epochs; wasmer and wasmi: none that
//! cost). Nothing is checked, looked up or counted.

use crate::Failure;

/// Calls the guest once and returns true if it did not trap. A guest of [`looping`] calls its host
/// [`LOOPS`](crate::LOOPS) times.
pub type Call = Box<dyn FnMut() -> bool>;

/// Starts a guest on a bare engine. Its only import may be `proxy_increment_metric`.
///
/// # Errors
/// The engine rejects the guest, or no engine has this name.
pub fn floor(engine: &str, wat: &str) -> Result<Call, Failure> {
    let wasm = wat::parse_str(wat)?;
    match engine {
        #[cfg(feature = "wasmtime")]
        "wasmtime" => on_wasmtime(&wasm),
        #[cfg(feature = "wasmer")]
        "wasmer" => on_wasmer(&wasm),
        #[cfg(feature = "wasmi")]
        "wasmi" => on_wasmi(&wasm),
        other => Err(format!("there is no bare {other}").into()),
    }
}

/// The state that the host keeps.
#[derive(Debug, Default)]
struct Counter(i64);

impl Counter {
    fn add(&mut self, _metric: i32, delta: i64) -> i32 {
        self.0 = self.0.wrapping_add(delta);
        0
    }
}

#[cfg(feature = "wasmtime")]
fn on_wasmtime(wasm: &[u8]) -> Result<Call, Failure> {
    use wasmtime::{Caller, Config, Engine, Linker, Module, Store};
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("env", "proxy_increment_metric", |mut caller: Caller<'_, Counter>, metric: i32, delta: i64| {
        caller.data_mut().add(metric, delta)
    })?;
    let mut store = Store::new(&engine, Counter::default());
    store.set_epoch_deadline(u64::MAX / 2);
    let instance = linker.instantiate(&mut store, &Module::new(&engine, wasm)?)?;
    let tick = instance.get_typed_func::<i32, ()>(&mut store, "proxy_on_tick")?;
    Ok(Box::new(move || tick.call(&mut store, 1).is_ok()))
}

#[cfg(feature = "wasmer")]
fn on_wasmer(wasm: &[u8]) -> Result<Call, Failure> {
    use wasmer::sys::{Cranelift, EngineBuilder};
    use wasmer::{Function, FunctionEnv, FunctionEnvMut, Instance, Module, Store, imports};
    let mut store = Store::new(EngineBuilder::new(Cranelift::new()));
    let env = FunctionEnv::new(&mut store, Counter::default());
    let add = |mut env: FunctionEnvMut<'_, Counter>, metric: i32, delta: i64| env.data_mut().add(metric, delta);
    let imports = imports! {
        "env" => { "proxy_increment_metric" => Function::new_typed_with_env(&mut store, &env, add) },
    };
    let module = Module::new(&store, wasm)?;
    let instance = Instance::new(&mut store, &module, &imports)?;
    let tick = instance.exports.get_typed_function::<i32, ()>(&store, "proxy_on_tick")?;
    Ok(Box::new(move || tick.call(&mut store, 1).is_ok()))
}

#[cfg(feature = "wasmi")]
fn on_wasmi(wasm: &[u8]) -> Result<Call, Failure> {
    use wasmi::{Caller, Engine, Linker, Module, Store};
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("env", "proxy_increment_metric", |mut caller: Caller<'_, Counter>, metric: i32, delta: i64| {
        caller.data_mut().add(metric, delta)
    })?;
    let mut store = Store::new(&engine, Counter::default());
    let instance = linker.instantiate_and_start(&mut store, &Module::new(&engine, wasm)?)?;
    let tick = instance.get_typed_func::<i32, ()>(&store, "proxy_on_tick")?;
    Ok(Box::new(move || tick.call(&mut store, 1).is_ok()))
}

/// Returns the text of a guest that makes one hostcall in each turn of its loop.
pub fn looping() -> String {
    let loops = crate::LOOPS;
    format!(
        r#"(module
            (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
            (memory (export "memory") 1)
            (func (export "proxy_on_tick") (param i32)
                (local $left i32)
                (local.set $left (i32.const {loops}))
                (loop $again
                    (if (call $increment (i32.const 4) (i64.const 1)) (then unreachable))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#
    )
}
