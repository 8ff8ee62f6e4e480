//! Replays the transcript of one engine on every engine that is built in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use portcullis::engine::EngineInfo;
use portcullis::transcript::{
    Folder, OneFile, RecordingEngine, Replayed, Settings, Transcript, TranscriptError, recorded,
};
use portcullis::{PluginSpec, StreamEffect, SystemHost, Worker, engine};
use portcullis_core::engine::EngineSettings;
use portcullis_core::model::{Body, Direction, Headers, Plugin, StreamInfo};
use portcullis_core::module::Bytecode;
use portcullis_core::observe::{transcript::Difference, transcript::End};
use portcullis_core::sandbox::VmSpec;
use portcullis_core::vm::{Vm, VmConfig};

use crate::common::{guest, load};

/// A folder that is gone after the test.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-transcript-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|own| own == extension)).collect();
        files.sort();
        files
    }

    /// The only transcript.
    fn transcript(&self) -> PathBuf {
        let files = self.files("jsonl");
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(folder: &Temporary, limit: usize) -> Settings {
    let outputs = Folder::open(&folder.0, 10, Arc::new(|path, error| panic!("{}: {error}", path.display()))).unwrap();
    Settings::new(Arc::new(outputs), limit)
}

/// Sends requests through a recorded plugin.
fn record(engine: &EngineInfo, folder: &Temporary, code: &[u8], limit: usize) -> PathBuf {
    let engine = engine.start(&EngineSettings::default()).unwrap();
    let module = load(&*engine, code);
    let module = Arc::new(recorded(&module, "a plugin/of mine", &settings(folder, limit)).unwrap());
    let host = SystemHost::new(|_| ());
    let mut worker = Worker::new(move || Box::new(host.clone()));
    let spec = PluginSpec::new(Plugin::new("p").with_root_id("as_headers"), module).with_vm(
        VmSpec::default()
            .with_configuration(Bytes::from_static(b"vm"))
            .with_environment(vec![("KEY".to_owned(), "value".to_owned())]),
    );
    let chain = worker.load(&[spec]).unwrap();
    for path in ["/", "/hello", "/index.html"] {
        let stream = worker.open(&chain, StreamInfo::default().into_shared(), 1 << 20);
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", path),
            ("cookie", "id=hidden-value"),
        ];
        worker.headers(stream, Direction::Request, head.into_iter().collect(), false);
        worker.body(stream, Direction::Request, Body::from(Bytes::from_static(b"a body")), true);
        while let Some(effect) = worker.stream_effect(stream) {
            if let StreamEffect::RequestHeaders { .. } = effect {
                let response: Headers = [(":status", "200"), ("content-type", "text/plain")].into_iter().collect();
                worker.headers(stream, Direction::Response, response, false);
                worker.body(stream, Direction::Response, Body::from(Bytes::from_static(b"hello")), true);
            }
        }
        worker.finish(stream);
    }
    worker.shut_down();
    folder.transcript()
}

/// Runs a test on each engine, with a folder for each.
fn each(name: &str, mut test: impl FnMut(&EngineInfo, &Temporary)) {
    for info in engine::all() {
        test(info, &Temporary::new(&format!("{name}-{}", info.name)));
    }
}

fn replay(path: &Path, engine: &str, plugin: Option<&Path>) -> Result<Replayed, TranscriptError> {
    Transcript::open(path)?.replay(engine::find(engine).unwrap().engine, plugin)
}

#[track_caller]
fn difference(replayed: Replayed) -> Difference {
    match replayed.report.end {
        End::Different(difference) => difference,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_one_engine_did_every_other_does() {
    for name in ["header_tour", "c_headers", "as_headers", "go_headers", "body_rewrite", "counter"] {
        for (index, recorder) in engine::all().iter().enumerate() {
            let folder = Temporary::new(&format!("{name}-{}", recorder.name));
            let path = record(recorder, &folder, &guest(name), 16 << 20);
            // What the first did, all do; what another did, it does again.
            let players = if index == 0 { engine::all() } else { std::slice::from_ref(recorder) };
            for info in players {
                let replayed = replay(&path, info.name, None);
                let replayed = replayed.unwrap_or_else(|error| panic!("{name} on {}: {error}", info.name));
                assert_eq!(replayed.report.end, End::Same, "{name} on {}", info.name);
                assert!(replayed.report.callbacks > 8, "{name}: {:?}", replayed.report);
                assert!(!replayed.was_full && !replayed.is_other_build);
            }
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("hidden-value"), "{name}");
        }
    }
}

#[test]
fn files_are_private_and_have_harmless_names() {
    each("private", |info, folder| {
        let path = record(info, folder, &guest("header_tour"), 16 << 20);
        assert_eq!(path.file_name().unwrap(), "a_plugin_of_mine.0.jsonl");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.0), mode(&path), mode(&folder.files("wasm")[0])), (0o700, 0o600, 0o600));
        assert_eq!(fs::read(&folder.files("wasm")[0]).unwrap(), guest("header_tour"));
    });
}

#[test]
fn a_full_transcript_says_so_and_is_replayed_as_far_as_it_goes() {
    each("full", |info, folder| {
        let path = record(info, folder, &guest("header_tour"), 5000);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() <= 5000 && text.ends_with("{\"end\":\"full\"}\n"), "{}", text.len());
        let replayed = replay(&path, info.name, None).unwrap();
        assert_eq!((replayed.report.end, replayed.was_full), (End::Same, true));
    });
}

#[test]
fn what_differs_is_named() {
    each("differs", |info, folder| {
        let path = record(info, folder, &guest("header_tour"), 16 << 20);
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().position(|line| line.contains("proxy_log") && line.contains("/hello")).unwrap();
        fs::write(&path, text.replacen("/hello", "/hallo", 1)).unwrap();
        let first = text.lines().position(|line| line.contains("/hello")).unwrap();
        // The plugin is told of another path, and so it says something else than it did.
        let told = difference(replay(&path, info.name, None).unwrap());
        assert!(first < line && told.event == line as u64, "{told:?}");
        assert!(told.what.starts_with("the bytes of `message` differ from byte"), "{told:?}");
        assert!(told.recorded.contains("/hello") && told.now.contains("/hallo") && told.before.len() == 5, "{told:?}");
    });
}

#[test]
fn another_build_is_compared_by_what_pointers_point_to() {
    let guest = |base: u32, text: &str| {
        let wat = format!(
            r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const {base}) "{text}plugin_root_id")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const {}))
            (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
                (drop (call $log (i32.const 2) (i32.const {base}) (i32.const 5)))
                (drop (call $get (i32.const {}) (i32.const 14) (i32.const {base}) (i32.const {})))
                (drop (call $log (i32.const 2) (i32.load (i32.const {base})) (i32.load (i32.const {}))))
                (i32.store (i32.const 512) (i32.load (i32.const {base})))
                (i32.store (i32.const 516) (i32.const 2))
                (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 520)))
                (i32.const 1)))"#,
            base + 4096,
            base + 5,
            base + 4,
            base + 4
        );
        wat::parse_str(wat).unwrap()
    };
    each("builds", |info, folder| {
        fs::create_dir(&folder.0).unwrap();
        let path = folder.0.join("case.jsonl");
        let outputs = OneFile::new(&path, Arc::new(|path, error| panic!("{}: {error}", path.display())));
        let settings = Settings::new(Arc::new(outputs), 1 << 20);
        let engine = info.start(&EngineSettings::default()).unwrap();
        let engine = RecordingEngine::new(engine, "case", settings);
        let wasm = guest(1024, "hello");
        let bytecode = Bytecode::judge(&wasm).unwrap();
        let module = portcullis_core::engine::AnyEngine::load(&engine, &bytecode).unwrap();
        let host = portcullis_core::testing::FakeHost::new();
        let mut vm = Vm::start(&*module, VmConfig::new(bytecode.abi), Box::new(host.clone())).unwrap();
        vm.add_plugin(Plugin::new("p").with_root_id("my root").into()).unwrap();
        assert_eq!(host.messages(), ["hello", "my root", "my"]);
        drop(vm);
        assert_eq!(folder.transcript(), path);
        let build = |name: &str, wasm: &[u8]| {
            let path = folder.0.join(name);
            fs::write(&path, wasm).unwrap();
            path
        };
        for on in engine::all() {
            let moved = replay(&path, on.name, Some(&build("moved.wasm", &guest(2048, "hello")))).unwrap();
            assert_eq!((moved.report.end, moved.is_other_build), (End::Same, true), "{} on {}", info.name, on.name);
            let other = replay(&path, on.name, Some(&build("other.wasm", &guest(2048, "hallo")))).unwrap();
            assert_eq!(difference(other).now, "proxy_log(level: 2, message: \"hallo\")");
        }
    });
}

/// An engine may begin a start section anew, when that has used up its fuel (wasmi).
#[test]
fn a_start_section_is_recorded_once() {
    const GUEST: &str = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func $start (local $i i32)
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 0)))
            (loop $again
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 5000000))))
            (drop (call $log (i32.const 3) (i32.const 0) (i32.const 0))))
        (start $start))"#;
    each("start", |info, folder| {
        let engine = info.start(&EngineSettings::default()).unwrap();
        let engine = RecordingEngine::new(engine, "start", settings(folder, 1 << 20));
        let wasm = wat::parse_str(GUEST).unwrap();
        let bytecode = Bytecode::judge(&wasm).unwrap();
        let module = portcullis_core::engine::AnyEngine::load(&engine, &bytecode).unwrap();
        let host = portcullis_core::testing::FakeHost::new();
        drop(Vm::start(&*module, VmConfig::new(bytecode.abi), Box::new(host)).unwrap());
        let path = folder.transcript();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("proxy_log").count(), 2, "{}: {text}", info.name);
        for on in engine::all() {
            let replayed = replay(&path, on.name, None).unwrap();
            let (end, hostcalls) = (replayed.report.end, replayed.report.hostcalls);
            assert_eq!((end, hostcalls), (End::Same, 2), "{} on {}", info.name, on.name);
        }
    });
}

#[test]
fn what_cannot_be_replayed_says_why() {
    each("errors", |info, folder| {
        let path = record(info, folder, &guest("header_tour"), 16 << 20);
        let text = fs::read_to_string(&path).unwrap();
        let code = folder.files("wasm")[0].clone();
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            replay(&path, info.name, None).unwrap_err().to_string()
        };
        let cut = &text[..text.len() - 5];
        let lines = text.lines().count();
        for (text, parts) in [
            (String::new(), ["jsonl:1: this is no transcript: it is empty", "name a file that"]),
            ("{}\n".to_owned(), ["jsonl:1: this is no transcript", "version of its format"]),
            (
                text.replacen("\"transcript\":1", "\"transcript\":7", 1),
                ["has format 7", "use the version that wrote it, 0.1.0"],
            ),
            (
                cut.to_owned(),
                [&format!("jsonl:{lines}: it is cut short"), "record it again, or cut the file before this line"],
            ),
            (
                text.replacen("{\"callback\"", "{\"calback\"", 1),
                ["jsonl:3: unknown variant `calback`", "record it again"],
            ),
            (text.replacen("\"sha256\":\"", "\"sha256\":\"../", 1), ["is no sha256", "name a file that"]),
        ] {
            let error = error(&text);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        fs::write(&code, b"\0asm").unwrap();
        assert!(error(&text).contains("its sha256 is"), "{}", error(&text));
        fs::remove_file(&code).unwrap();
        assert!(error(&text).contains("or name another build with --plugin"), "{}", error(&text));
    });
}
