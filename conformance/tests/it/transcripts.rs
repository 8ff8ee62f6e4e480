//! Every case, recorded on the first engine, is replayed on all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::core::EngineSettings;
use portcullis::core::tape::End;
use portcullis::transcript::{Folder, RecordingEngine, Redaction, Settings, Transcript};
use portcullis_conformance::TOPICS;

#[test]
fn what_a_case_did_on_one_engine_it_does_on_all() {
    let folder = std::env::temp_dir().join(format!("portcullis-cases-{}", std::process::id()));
    let mut differences = Vec::new();
    let (mut replays, mut hostcalls) = (0, 0);
    for topic in TOPICS {
        for case in topic.cases {
            let name = format!("{}::{}", topic.name, case.name);
            for path in record(&folder, case) {
                for info in portcullis::engines() {
                    let replayed = Transcript::open(&path).unwrap().replay(info, None);
                    let replayed = replayed.unwrap_or_else(|error| panic!("{name} on {}: {error}", info.name));
                    replays += 1;
                    hostcalls += replayed.report.hostcalls;
                    if replayed.report.end != End::Same {
                        differences.push(format!("{name} on {}: {:#?}", info.name, replayed.report));
                    }
                }
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    assert!(differences.is_empty(), "{}\n{} of {replays}", differences.join("\n"), differences.len());
    assert!(replays > 300 && hostcalls > 1000, "{replays} replays, {hostcalls} hostcalls");
}

/// The transcripts of a case, one for each VM that it starts.
fn record(folder: &Path, case: &portcullis_conformance::Case) -> Vec<PathBuf> {
    let _ = std::fs::remove_dir_all(folder);
    let outputs = Folder::open(folder, usize::MAX, Arc::new(|path, error| panic!("{}: {error}", path.display())));
    let settings = Settings { outputs: Arc::new(outputs.unwrap()), redaction: Redaction::new([]), limit: 64 << 20 };
    let engine = portcullis::engines()[0].start(&EngineSettings::default()).unwrap();
    (case.run)(case, &RecordingEngine::new(engine, "case", settings));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|own| own == "jsonl")).collect()
}
