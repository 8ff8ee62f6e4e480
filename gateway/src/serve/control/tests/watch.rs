//! Changes of files, with a reload that does nothing but to judge the configuration.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fake::{Fake, File, LIMIT};
use super::{Panics, ask, done, wait};
use crate::serve::control::watch::Times;
use crate::serve::control::{By, Control, Outcome, Source};

const HOUR: Duration = Duration::from_secs(3600);

fn start(fake: &Fake, file: &Path, patience: Duration) -> Control {
    let times = Times { look: Duration::from_millis(1), settle: Duration::from_millis(20), patience };
    let (config, source) = Source::read_first(file).unwrap();
    Control::start_with(fake.clone(), source.unwrap(), config.watch, times).unwrap()
}

/// Waits for a condition that nobody tells about.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "nothing happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns the number of the generation whose reload has been told; 0 in the moment between.
fn number(control: &Control) -> u64 {
    let generation = control.members()["generation"].clone();
    // The digest is that of the file whose reload was told last.
    if generation["sha256"].is_string() { generation["number"].as_u64().unwrap() } else { 0 }
}

/// Puts a file in the place of another.
fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

const WATCH: &str = "watch: true\n";

#[test]
fn each_file_that_is_named_is_watched_and_a_change_is_one_reload() {
    let (fake, file) = (Fake::free(), File::new("watch"));
    let token = file.0.join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    fs::write(file.0.join("key"), "one").unwrap();
    fs::write(file.0.join("plugin.wasm"), "one").unwrap();
    let plugin =
        "plugins: [{name: p, vm_config: {code: {local: {filename: plugin.wasm}}}, configuration: {a: {file: key}}}]\n";
    let more = format!("watch: true\nadmin: {{address: 127.0.0.1:1, token_file: token}}\n{plugin}");
    file.write(1, &more);
    let control = start(&fake, &file.path(), HOUR);
    for (index, change) in ["gateway.yaml", "plugin.wasm", "key", "token"].into_iter().enumerate() {
        match change {
            "gateway.yaml" => file.write(2, &more),
            "plugin.wasm" => replace(&file.0.join("plugin.wasm"), "two"),
            "key" => fs::write(file.0.join("key"), "two").unwrap(),
            _ => replace(&token, "fedcba9876543210"),
        }
        let expected = index as u64 + 2;
        until(|| number(&control) == expected);
        assert_eq!(control.members()["last_reload"]["by"], "watch", "{change}");
    }
    assert_eq!(fake.asked(), [2; 4], "one for each change");
    control.stop();
}

#[test]
fn a_swapped_folder_of_kubernetes_is_one_reload_of_all_of_it() {
    let (fake, file) = (Fake::free(), File::new("kubernetes"));
    let version = |name: &str, workers: usize| {
        let folder = file.0.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("key"), name).unwrap();
        file.write(workers, "watch: true\nadmin: {address: 127.0.0.1:1, token_file: {file: key}}\n");
        fs::rename(file.path(), folder.join("gateway.yaml")).unwrap();
    };
    version("..2026_11_30_00_00_00.1", 1);
    symlink("..2026_11_30_00_00_00.1", file.0.join("..data")).unwrap();
    for name in ["gateway.yaml", "key"] {
        symlink(format!("..data/{name}"), file.0.join(name)).unwrap();
    }
    let path = file.0.join("gateway.yaml");
    let control = start(&fake, &path, HOUR);
    // Written elsewhere, since the helper writes through the link.
    let folder = file.0.join("..2026_11_30_00_00_00.2");
    fs::create_dir(&folder).unwrap();
    let text = fs::read_to_string(&path).unwrap().replace("workers: 1", "workers: 5");
    fs::write(folder.join("gateway.yaml"), text).unwrap();
    fs::write(folder.join("key"), "another-token-of-16-and-more").unwrap();
    symlink("..2026_11_30_00_00_00.2", file.0.join("..data_tmp")).unwrap();
    fs::rename(file.0.join("..data_tmp"), file.0.join("..data")).unwrap();
    fs::remove_dir_all(file.0.join("..2026_11_30_00_00_00.1")).unwrap();
    until(|| number(&control) == 2);
    assert_eq!(fake.asked(), [5]);
    control.stop();
}

#[test]
fn a_file_that_is_broken_for_a_while_is_not_told_and_one_that_stays_is() {
    let (fake, file) = (Fake::free(), File::new("while"));
    file.write(1, WATCH);
    let control = start(&fake, &file.path(), HOUR);
    let whole = fs::read_to_string(file.path()).unwrap().replace("workers: 1", "workers: 4");
    let (first, _) = whole.split_at(whole.len() / 2);
    fs::write(file.path(), first).unwrap();
    // Its first half is settled, read, and wrong.
    until(|| control.members()["pending_reload"].is_string());
    assert_eq!((control.failure(), &control.members()["last_reload"]), (None, &Value::Null));
    fs::write(file.path(), &whole).unwrap();
    until(|| number(&control) == 2);
    assert_eq!((fake.asked(), control.members()["last_reload"]["result"].as_str()), (vec![4], Some("success")));
    assert_eq!(control.members()["pending_reload"], Value::Null);
    control.stop();

    let control = start(&Fake::free(), &file.path(), Duration::from_millis(20));
    fs::write(file.path(), first).unwrap();
    until(|| control.failure().is_some());
    let members = control.members();
    assert_eq!(
        (number(&control), &members["pending_reload"], &members["last_reload"]["by"]),
        (1, &Value::Null, &"watch".into())
    );
    fs::write(file.path(), &whole).unwrap();
    until(|| number(&control) > 1);
    assert_eq!(control.failure(), None);
    control.stop();
}

#[test]
fn a_certificate_waits_for_its_key() {
    let (fake, file) = (Fake::free(), File::new("tls"));
    fake.change(|state| state.judges = true);
    let pair = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (certificate, key) = pair();
    replace(&file.0.join("tls.crt"), certificate);
    replace(&file.0.join("tls.key"), key);
    let tls = "listeners: [{address: 127.0.0.1:0, tls: {certificate: tls.crt, private_key: tls.key}, routes: [{cluster: e}]}]\n";
    fs::write(file.path(), format!("watch: true\nworkers: 1\n{tls}clusters: [{{name: e, echo: {{}}}}]\n")).unwrap();
    let control = start(&fake, &file.path(), HOUR);
    let (certificate, key) = pair();
    replace(&file.0.join("tls.crt"), certificate);
    until(|| {
        control.members()["pending_reload"].as_str().is_some_and(|error| error.contains("cannot be used together"))
    });
    assert_eq!((number(&control), control.failure()), (1, None));
    replace(&file.0.join("tls.key"), key);
    until(|| number(&control) == 2);
    assert_eq!(fake.asked(), [1, 1], "once refused, once served");
    control.stop();
}

#[test]
fn a_file_that_comes_later_mends_what_named_it() {
    let (fake, file) = (Fake::free(), File::new("later"));
    file.write(1, WATCH);
    let control = start(&fake, &file.path(), Duration::from_millis(20));
    file.write(2, "watch: true\nadmin: {address: 127.0.0.1:1, token_file: token}\n");
    until(|| control.failure().is_some());
    file.write(3, "watch: true\nplugins: [{name: p, vm_config: {code: {local: {filename: plugin.wasm}}}}]\n");
    until(|| control.failure().is_some_and(|failure| failure.contains("there is no file \"plugin.wasm\"")));
    fs::write(file.0.join("plugin.wasm"), "code").unwrap();
    until(|| number(&control) == 2);
    assert_eq!(fake.asked(), [3]);
    control.stop();
}

/// A reload would be of two states of the files.
#[test]
fn a_change_while_a_reload_runs_ends_it_and_is_the_next() {
    let (fake, file) = (Fake::default(), File::new("meanwhile"));
    fs::write(file.0.join("plugin.wasm"), "one").unwrap();
    file.write(2, "watch: true\nplugins: [{name: p, vm_config: {code: {local: {filename: plugin.wasm}}}}]\n");
    let control = start(&fake, &file.path(), HOUR);
    let first = ask(&control);
    fake.until_asked(1);
    replace(&file.0.join("plugin.wasm"), "two");
    assert_eq!(wait(first), Ok(Outcome::Cancelled));
    fake.until_asked(2);
    fake.change(|state| state.may_end = 1);
    until(|| number(&control) == 2);
    assert_eq!(control.members()["last_reload"]["by"], "watch");
    control.stop();
}

#[test]
fn a_change_while_another_process_takes_over_is_read_if_it_fails() {
    let (fake, file) = (Fake::free(), File::new("upgrade-watch"));
    file.write(1, WATCH);
    let control = start(&fake, &file.path(), HOUR);
    let starting = control.refuse_reloads().unwrap();
    file.write(2, WATCH);
    assert!(matches!(wait(control.reload(By::Signal)), Outcome::Refused(_)));
    assert_eq!(fake.asked(), Vec::<usize>::new());
    drop(starting);
    until(|| number(&control) == 2);
    control.stop();
}

#[test]
fn files_that_change_and_change_back_during_a_reload_lose_no_wish() {
    let (fake, file) = (Fake::free(), File::new("and-back"));
    file.write(2, WATCH);
    let control = start(&fake, &file.path(), HOUR);
    fake.change(|state| state.cancels = 1);
    assert_eq!(wait(control.reload(By::Admin)), Outcome::Cancelled);
    until(|| number(&control) == 2);
    assert_eq!(fake.asked(), [2, 2]);
    control.stop();
}

#[test]
fn a_panic_is_told_at_once_and_not_repeated() {
    let file = File::new("panic-watch");
    file.write(1, WATCH);
    let (config, source) = Source::read_first(&file.path()).unwrap();
    let [look, settle] = [1, 20].map(Duration::from_millis);
    let panics = Panics::default();
    let times = Times { look, settle, patience: HOUR };
    let control = Control::start_with(panics.clone(), source.unwrap(), config.watch, times).unwrap();
    for count in 1..3 {
        file.write(count + 1, WATCH);
        until(|| panics.0.load(Relaxed) == count);
        until(|| control.failure().is_some_and(|failure| failure.contains("ended by a panic")));
    }
    control.stop();
}

#[test]
fn a_reload_switches_it_on_and_off() {
    let (fake, file) = (Fake::free(), File::new("switch"));
    let control = start(&fake, &file.path(), HOUR);
    file.write(2, WATCH);
    assert_eq!(done(wait(control.reload(By::Signal))), 2);
    file.write(3, "");
    until(|| number(&control) == 3);
    file.write(4, "");
    assert_eq!(done(wait(control.reload(By::Signal))), 4);
    assert_eq!(fake.asked(), [2, 3, 4], "off since the third: nobody but the signal asks");
    control.stop();
}
