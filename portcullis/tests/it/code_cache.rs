//! Compiled code that is kept, on every engine that is built in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use portcullis::code_cache::{CodeCache, CodeCacheError, CodeSource, LoadedCode, Outdated, PrecompileError};
use portcullis::engine;
use portcullis_core::engine::{AnyEngine, EngineSettings};
use portcullis_core::model::Plugin;
use portcullis_core::testing::FakeHost;
use portcullis_core::vm::{Vm, VmConfig};

const GUEST: &str = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "started")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 8) (i32.const 7)))
        (i32.const 1)))"#;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn code(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "code")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wasm() -> Vec<u8> {
    wat::parse_str(GUEST).unwrap()
}

fn each(mut test: impl FnMut(&dyn AnyEngine, bool)) {
    for info in engine::all() {
        let engine = info.start(&EngineSettings::default()).unwrap();
        test(&*engine, info.features.precompiled);
    }
}

fn load(cache: &CodeCache, engine: &dyn AnyEngine, plugin: &[u8]) -> LoadedCode {
    let loaded = cache.load(engine, plugin).unwrap();
    let host = FakeHost::new();
    let mut vm =
        Vm::start(loaded.module.compiled(), VmConfig::new(loaded.module.abi()), Box::new(host.clone())).unwrap();
    vm.add_plugin(Plugin::new("test").into()).unwrap();
    assert_eq!(host.messages(), ["started"], "on {}", engine.name());
    loaded
}

#[test]
fn the_second_start_does_not_compile() {
    each(|engine, precompiled| {
        let folder = Folder::new(&format!("second-{}", engine.name()));
        let first = load(&CodeCache::open(&folder.0).unwrap(), engine, &wasm()).source;
        let second = load(&CodeCache::open(&folder.0).unwrap(), engine, &wasm()).source;
        match precompiled {
            true => assert_eq!(
                (&first, second),
                (&CodeSource::Kept(folder.code()[0].clone()), CodeSource::Folder(folder.code()[0].clone()))
            ),
            false => assert_eq!((first, second), (CodeSource::Compiled, CodeSource::Compiled)),
        }
    });
}

#[test]
fn only_code_of_this_key_and_subject_is_run() {
    each(|engine, precompiled| {
        if !precompiled {
            return;
        }
        let (ours, theirs) =
            (Folder::new(&format!("ours-{}", engine.name())), Folder::new(&format!("theirs-{}", engine.name())));
        let cache = CodeCache::open(&ours.0).unwrap();
        load(&cache, engine, &wasm());
        let file = ours.code()[0].clone();
        let good = fs::read(&file).unwrap();
        let other_module = wat::parse_str(GUEST.replace("started", "STARTED")).unwrap();
        cache.load(engine, &other_module).unwrap();
        let of_another =
            ours.code().into_iter().find(|path| *path != file).map(|path| fs::read(path).unwrap()).unwrap();
        load(&CodeCache::open(&theirs.0).unwrap(), engine, &wasm());
        let foreign = fs::read(&theirs.code()[0]).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&flipped, &foreign, &of_another, &good[..good.len() / 2].to_vec(), &Vec::new()] {
            fs::write(&file, bad).unwrap();
            let loaded = load(&cache, engine, &wasm());
            assert_eq!(loaded.source, CodeSource::Kept(file.clone()));
            assert_eq!(loaded.rejected.map(|rejected| rejected.path), Some(file.clone()));
            assert_eq!(load(&cache, engine, &wasm()).source, CodeSource::Folder(file.clone()), "it was replaced");
        }
    });
}

fn set_unused(path: &Path, days: u64) {
    let used = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    fs::File::options().append(true).open(path).unwrap().set_modified(used).unwrap();
}

#[test]
fn code_from_before_a_change_of_engines_is_counted_and_removed_when_it_is_unused() {
    let folder = Folder::new("outdated");
    let load_all = |is_kept: bool| {
        let cache = CodeCache::open(&folder.0).unwrap();
        each(|engine, precompiled| {
            let source = load(&cache, engine, &wasm()).source;
            assert!(!precompiled || matches!(source, CodeSource::Folder(_)) == is_kept, "{source:?}");
        });
        cache.outdated()
    };
    assert_eq!(load_all(false), Outdated::default());
    // Code of this binary's engines, under the names that other versions of them gave theirs.
    let current = folder.code();
    let mut bytes = 0;
    for (at, path) in current.iter().enumerate() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (engine, _) = name.split_once('-').unwrap();
        for old in [format!("{engine}-0.9.{at}-{at:064x}.code"), format!("{at:064x}.code")] {
            let old = folder.0.join(old);
            bytes += fs::copy(path, &old).unwrap();
            set_unused(&old, 8);
        }
    }
    // Code of another version that is still in use.
    let used = folder.0.join(format!("{}-0.9.9-{:064x}.code", engine::all()[0].name, 9));
    fs::write(&used, "used").unwrap();
    set_unused(&used, 6);
    // Not this binary's.
    let foreign = folder.0.join(format!("another-1.0.0-{:064x}.code", 1));
    fs::write(&foreign, "theirs").unwrap();
    fs::write(folder.0.join("notes"), "of the operator").unwrap();
    let outdated = load_all(true);
    assert_eq!((outdated.entries, outdated.bytes, outdated.kept), (2 * current.len() as u64, bytes, 1));
    let mut left = folder.code();
    left.retain(|path| *path != foreign && *path != used);
    left.sort();
    let mut expected = current;
    expected.sort();
    assert_eq!(left, expected);
    assert!(foreign.exists() && used.exists() && folder.0.join("notes").exists());
    let outdated = load_all(true);
    assert_eq!((outdated.entries, outdated.bytes, outdated.kept), (0, 0, 1), "they are gone");
}

#[test]
fn code_of_this_version_has_a_bound() {
    let folder = Folder::new("bound-current");
    CodeCache::open(&folder.0).unwrap();
    let info = &engine::all()[0];
    let files = [(1, 1), (2, 1), (3, 3 << 30), (4, 2 << 30), (91, 1)].map(|(days, len)| {
        let path = folder.0.join(format!("{}-{}-{days:064x}.code", info.name, info.version));
        // Without blocks on the disk.
        fs::File::create(&path).unwrap().set_len(len).unwrap();
        set_unused(&path, days);
        path
    });
    let cache = CodeCache::open(&folder.0).unwrap();
    assert_eq!(cache.outdated(), Outdated::default());
    assert_eq!(files.map(|file| file.exists()), [true, true, true, false, false]);
}

#[test]
fn code_of_other_versions_has_a_bound() {
    let folder = Folder::new("bound");
    CodeCache::open(&folder.0).unwrap();
    let files = [1, 2, 3].map(|days| {
        let path = folder.0.join(format!("{}-0.9.9-{days:064x}.code", engine::all()[0].name));
        // Without blocks on the disk.
        fs::File::create(&path).unwrap().set_len(400 << 20).unwrap();
        set_unused(&path, days);
        path
    });
    let outdated = CodeCache::open(&folder.0).unwrap().outdated();
    assert_eq!((outdated.entries, outdated.bytes, outdated.kept), (1, 400 << 20, 2));
    assert!(files[0].exists() && files[1].exists() && !files[2].exists(), "what is unused for longest goes");
}

#[test]
fn code_that_is_used_stays_for_other_versions() {
    each(|engine, precompiled| {
        if !precompiled {
            return;
        }
        let folder = Folder::new(&format!("used-{}", engine.name()));
        let cache = CodeCache::open(&folder.0).unwrap();
        load(&cache, engine, &wasm());
        let code = folder.code();
        set_unused(&code[0], 30);
        assert!(matches!(load(&cache, engine, &wasm()).source, CodeSource::Folder(_)));
        let unused = fs::metadata(&code[0]).unwrap().modified().unwrap().elapsed().unwrap_or_default();
        assert!(unused < Duration::from_secs(24 * 3600), "{unused:?}");
    });
}

#[test]
fn a_folder_that_cannot_be_written_costs_time_and_nothing_else() {
    each(|engine, precompiled| {
        if !precompiled {
            return;
        }
        let folder = Folder::new(&format!("full-{}", engine.name()));
        let cache = CodeCache::open(&folder.0).unwrap();
        fs::remove_dir_all(&folder.0).unwrap();
        assert!(matches!(load(&cache, engine, &wasm()).source, CodeSource::NotKept(CodeCacheError::Io { .. })));
    });
}

#[test]
fn a_plugin_may_carry_its_code() {
    let folder = Folder::new("carry");
    let cache = CodeCache::open(&folder.0).unwrap();
    let mut plugin = wasm();
    each(|engine, precompiled| match cache.precompile(engine, &plugin) {
        Ok(with_code) => plugin = with_code,
        Err(error) => {
            assert!(!precompiled && matches!(error, PrecompileError::NoCode(_)));
            assert_eq!(error.to_string(), format!("the engine {} has no compiled code: it interprets", engine.name()));
        }
    });
    let other = Folder::new("carry-other");
    let foreign = CodeCache::open(&other.0).unwrap();
    each(|engine, precompiled| {
        if precompiled {
            assert_eq!(load(&cache, engine, &plugin).source, CodeSource::Plugin);
            assert!(matches!(load(&foreign, engine, &plugin).source, CodeSource::Kept(_)), "another key");
        }
        // Everybody else runs it as it is.
        load(&cache, engine, &plugin);
    });
    assert!(folder.code().is_empty());
}

#[test]
fn the_folder_is_private() {
    let folder = Folder::new("private");
    let open = || CodeCache::open(&folder.0).map(drop);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open().unwrap();
    let key = folder.0.join("key");
    assert_eq!((mode(&folder.0), mode(&key)), (0o700, 0o600));
    set(&folder.0, 0o755);
    let error = open().unwrap_err().to_string();
    let path = folder.0.display();
    assert_eq!(error, format!("{path} can be reached by other users (mode 755): run `chmod 700 {path}`"));
    set(&folder.0, 0o700);
    set(&key, 0o640);
    let error = open().unwrap_err().to_string();
    assert_eq!(error, format!("{path}/key can be reached by other users (mode 640): run `chmod 600 {path}/key`"));
    set(&key, 0o600);
    fs::write(&key, b"short").unwrap();
    assert_eq!(open(), Err(CodeCacheError::BadKey { path: key }));
}

#[test]
fn a_file_is_no_folder() {
    let folder = Folder::new("file");
    fs::write(&folder.0, b"").unwrap();
    assert!(matches!(CodeCache::open(&folder.0), Err(CodeCacheError::Io { operation: "create", .. })));
    fs::remove_file(&folder.0).unwrap();
}

#[test]
fn many_may_open_a_folder_at_once() {
    let folder = Folder::new("race");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    CodeCache::open(&folder.0).unwrap();
                    fs::read(folder.0.join("key")).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn code_of_other_settings_is_other_code() {
    for info in engine::all().iter().filter(|info| info.features.precompiled) {
        let other = EngineSettings::default().with_stack(EngineSettings::default().stack / 2);
        // Who looks on does not change the code.
        let watched = EngineSettings::default().with_samples(true).with_perf_map(true);
        let [a, b, c] =
            [EngineSettings::default(), watched, other].map(|settings| info.start(&settings).unwrap().fingerprint());
        assert_eq!(a, b, "{}", info.name);
        assert_ne!(a, c, "{}", info.name);
    }
}
