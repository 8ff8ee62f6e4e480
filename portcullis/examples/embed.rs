//! Embeds a host: loads a plugin, sends one request through it, lets it tick, prints what it did.
//!
//! `cargo run -p portcullis --example embed [PLUGIN.wasm]`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use portcullis::chain::Effect;
use portcullis::engine::EngineSettings;
use portcullis::model::{Body, Direction, Headers, Plugin, StreamInfo};
use portcullis::{DefaultEngine, Module, PluginSpec, StreamEffect, SystemHost, Worker};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "guests/wasm/header_tour.wasm".to_owned());
    let code = std::fs::read(&path).map_err(|error| format!("{path}: {error}"))?;

    // A host that prints what plugins log, and a worker that starts its VMs with it.
    let host = SystemHost::new(|line| println!("log: {}", String::from_utf8_lossy(line.message)));
    let mut worker = Worker::new(move || Box::new(host.clone()));
    let module = Arc::new(Module::load(&DefaultEngine::new(&EngineSettings::default())?, code.into())?);
    let chain = worker.load(&[PluginSpec::new(Plugin::new("example"), module)])?;

    // One stream: a request without a body goes in ...
    let info = StreamInfo::default().into_shared();
    let stream = worker.open(&chain, info.clone(), 1 << 20);
    let request = [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/")];
    worker.headers(stream, Direction::Request, request.into_iter().collect(), true);

    // ... and what the plugins make of it comes out.
    while let Some(effect) = worker.stream_effect(stream) {
        match effect {
            StreamEffect::RequestHeaders { .. } => {
                info.with(|info| println!("request: {:?}", info.request_headers));
                let response: Headers = [(":status", "200"), ("server", "example")].into_iter().collect();
                worker.headers(stream, Direction::Response, response, false);
                worker.body(stream, Direction::Response, Body::from(bytes::Bytes::from("hi")), true);
            }
            StreamEffect::ResponseHeaders { .. } => {
                info.with(|info| println!("response: {:?}", info.response_headers));
            }
            StreamEffect::ResponseBody { body, .. } => println!("body: {:?}", body.to_bytes()),
            other => println!("{other:?}"),
        }
    }
    worker.finish(stream);
    tick(&mut worker);
    Ok(())
}

/// Ticks the plugins a few times. One timer, which the worker sets, serves all of them.
fn tick(worker: &mut Worker) {
    let mut timer = None;
    for _ in 0..3 {
        while let Some(effect) = worker.effect() {
            match effect {
                Effect::Tick { after } => timer = after,
                other => println!("{other:?}"),
            }
        }
        let Some(after) = timer.take().filter(|after| *after <= Duration::from_secs(5)) else { return };
        std::thread::sleep(after);
        worker.tick();
    }
}
