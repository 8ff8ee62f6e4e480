#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a finding")]

use std::sync::LazyLock;

use portcullis_core::abi::AbiVersion;
use portcullis_core::engine::{AnyModule, EngineSettings};
use portcullis_core::module::Bytecode;
use portcullis_core::observe::{transcript::Event, transcript::Replay, transcript::replay};
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::VmConfig;

use super::line::Line;
use super::redaction::{Redaction, Redactor};
use crate::engine;

/// Reads any lines as a transcript, and replays what can be read to a guest: each event is written as it was read, with
/// secrets and without, and what a guest is told never panics.
pub fn transcript(data: &[u8]) {
    let lines = String::from_utf8_lossy(data);
    let mut redactor = Redactor::new(Redaction::default());
    let mut events: Vec<Result<Event, String>> = Vec::new();
    for line in lines.lines() {
        let event = read(line);
        if let Ok(Some(event)) = &event {
            let text = written(event.clone());
            assert!(!text.contains('\n'));
            assert_eq!(shown(&read(&text)), shown(&Ok(Some(event.clone()))));
            let mut redacted = event.clone();
            redactor.redact(&mut redacted);
            let text = written(redacted.clone());
            assert_eq!(shown(&read(&text)), shown(&Ok(Some(redacted))));
        }
        match event.transpose() {
            Some(event) => events.push(event),
            None => break,
        }
    }
    static MODULE: LazyLock<Box<dyn AnyModule>> = LazyLock::new(|| {
        let wasm = include_bytes!("../../../fuzz/guests/replayed.wasm");
        let engine =
            engine::find("wasmi").expect("it is built in").engine.start(&EngineSettings::default()).expect("it starts");
        engine.load(&Bytecode::judge(wasm).expect("it is a plugin")).expect("it is translated")
    });
    let how = Replay::default().with_moved(data.len() % 2 == 0).with_redacted(data.len() % 3 == 0);
    let config = VmConfig::new(AbiVersion::V0_2_1);
    let count = events.len() as u64;
    let report = replay(
        &**MODULE,
        config,
        Box::new(FakeHost::new()),
        Box::new(events.into_iter().map(|event| event.map_err(Into::into))),
        how,
    );
    assert!(report.events <= count);
}

fn read(line: &str) -> Result<Option<Event>, String> {
    serde_json::from_str::<Line>(line).map_err(|error| error.to_string()).and_then(Line::event)
}

fn written(event: Event) -> String {
    serde_json::to_string(&Line::from(event)).expect("every event is a line")
}

/// Formats an event, to compare it: NaN is not equal to itself.
fn shown(event: &Result<Option<Event>, String>) -> String {
    format!("{event:?}")
}
