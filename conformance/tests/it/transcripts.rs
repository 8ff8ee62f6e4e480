//! Every case, recorded on the first engine, is replayed on all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use portcullis::engine::EngineSettings;
use portcullis::observe::transcript::End;
use portcullis::transcript::{Folder, RecordingEngine, Redaction, Settings, Transcript};
use portcullis_conformance::engine::{Case, TOPICS};

#[test]
fn what_a_case_did_on_one_engine_it_does_on_all() {
    // The last topics have the longest cases, which are begun first.
    let topics = TOPICS.iter().rev();
    let cases: Vec<_> = topics.flat_map(|topic| topic.cases.iter().map(|case| (topic.name, case))).collect();
    let next = AtomicUsize::new(0);
    let replayed = thread::scope(|scope| {
        let replay_some = |_| {
            scope.spawn(|| {
                let mut replayed = Replayed::default();
                while let Some((topic, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    replayed.add(topic, case);
                }
                replayed
            })
        };
        let threads: Vec<_> = (0..thread::available_parallelism().unwrap().get()).map(replay_some).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).reduce(Replayed::and).unwrap()
    });
    let Replayed { replays, hostcalls, differences } = replayed;
    assert!(differences.is_empty(), "{}\n{} of {replays}", differences.join("\n"), differences.len());
    assert!(replays > 300 && hostcalls > 1000, "{replays} replays, {hostcalls} hostcalls");
}

/// Results of replaying some cases.
#[derive(Default)]
struct Replayed {
    replays: usize,
    hostcalls: u64,
    differences: Vec<String>,
}

impl Replayed {
    /// Records a case and replays it on every engine.
    fn add(&mut self, topic: &str, case: &Case) {
        let name = format!("{topic}::{}", case.name);
        let folder =
            std::env::temp_dir().join(format!("portcullis-cases-{}-{topic}-{}", std::process::id(), case.name));
        for path in record(&folder, case) {
            for info in portcullis::engine::all() {
                let replayed = Transcript::open(&path).unwrap().replay(info, None);
                let replayed = replayed.unwrap_or_else(|error| panic!("{name} on {}: {error}", info.name));
                self.replays += 1;
                self.hostcalls += replayed.report.hostcalls;
                if replayed.report.end != End::Same {
                    self.differences.push(format!("{name} on {}: {:#?}", info.name, replayed.report));
                }
            }
        }
        let _ = std::fs::remove_dir_all(&folder);
    }

    fn and(mut self, other: Self) -> Self {
        self.replays += other.replays;
        self.hostcalls += other.hostcalls;
        self.differences.extend(other.differences);
        self
    }
}

/// Returns the transcripts of a case, one for each VM that it starts.
fn record(folder: &Path, case: &Case) -> Vec<PathBuf> {
    let _ = std::fs::remove_dir_all(folder);
    let outputs = Folder::open(folder, usize::MAX, Arc::new(|path, error| panic!("{}: {error}", path.display())));
    let settings = Settings::new(Arc::new(outputs.unwrap()), 64 << 20).with_redaction(Redaction::new([]));
    let engine = portcullis::engine::all()[0].start(&EngineSettings::default()).unwrap();
    (case.run)(case, &RecordingEngine::new(engine, "case", settings));
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|own| own == "jsonl")).collect()
}
