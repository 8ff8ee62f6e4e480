//! Reloads that are asked for, with a reload that does nothing.

mod admin;
mod fake;
mod watch;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sha2::Digest;

use self::fake::{Fake, File, LIMIT};
use super::super::generation::Cancel;
use super::*;
use crate::config::Config;
use crate::error::ServeError;
use crate::serve::generation::Reloaded;

/// A thread that takes wishes.
fn start(fake: &Fake, file: &File) -> Control {
    let (config, source) = Source::read_first(&file.path()).unwrap();
    Control::start(fake.clone(), source.unwrap(), config.watch).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.unwrap() })
}

/// Asks on another thread, so that the wish is there when this returns.
fn ask(control: &Control) -> oneshot::Receiver<Outcome> {
    let (answer, answered) = oneshot::channel();
    control.events.send(Event::Ask(By::Admin, Some(answer))).unwrap();
    answered
}

fn done(outcome: Outcome) -> u64 {
    let Outcome::Done(reloaded) = outcome else { panic!("{outcome:?}") };
    reloaded.generation
}

#[test]
fn the_file_is_read_again_and_what_serves_is_shown() {
    let (fake, file) = (Fake::free(), File::new("again"));
    let control = start(&fake, &file);
    let first = control.members();
    assert_eq!((&first["generation"]["number"], &first["last_reload"]), (&1.into(), &Value::Null));
    file.write(3, "");
    assert_eq!(done(wait(control.reload(By::Admin))), 2);
    assert_eq!((fake.asked(), fake.shown()), (vec![3], vec![3]));
    let members = control.members();
    assert_eq!(members["generation"]["number"], 2);
    assert_ne!(members["generation"]["sha256"], first["generation"]["sha256"]);
    let digest = sha2::Sha256::digest(std::fs::read(file.path()).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(members["generation"]["sha256"], digest);
    assert_eq!(
        (&members["last_reload"]["by"], &members["last_reload"]["result"]),
        (&"POST /reload".into(), &"success".into())
    );
    assert_eq!(members["generations"][0]["connections"], 5);
    assert_eq!(control.failure(), None);
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let (fake, file) = (Fake::free(), File::new("wrong"));
    let control = start(&fake, &file);
    let digest = control.members()["generation"]["sha256"].clone();
    fake.change(|state| state.refusals = 1);
    for (more, expected) in
        [("", "gateway.yaml: it traps; mend it"), ("prot: 1\n", "gateway.yaml:4:1: unknown key \"prot\"")]
    {
        file.write(2, more);
        let Outcome::Refused(error) = wait(control.reload(By::Signal)) else { panic!("{more}") };
        assert!(error.contains(expected), "{error}");
        let members = control.members();
        assert_eq!((&members["generation"]["number"], &members["generation"]["sha256"]), (&1.into(), &digest));
        assert_eq!(
            (&members["last_reload"]["result"], &members["last_reload"]["by"]),
            (&"failure".into(), &"SIGHUP".into())
        );
        assert_eq!(members["last_reload"]["error"], error);
        let line = control.failure().unwrap();
        assert!(line.contains("generation 1 serves on: ") && line.contains(expected), "{line}");
    }
    std::fs::remove_file(file.path()).unwrap();
    let Outcome::Refused(error) = wait(control.reload(By::Signal)) else { panic!() };
    assert!(error.contains("cannot read the configuration: No such file"), "{error}");
    assert_eq!((fake.asked(), fake.shown()), (vec![2], vec![]));
    file.write(2, "");
    assert_eq!(done(wait(control.reload(By::Signal))), 2);
    assert_eq!(control.failure(), None);
}

#[test]
fn a_newer_wish_cancels_and_the_last_write_wins() {
    let (fake, file) = (Fake::default(), File::new("newer"));
    let control = start(&fake, &file);
    file.write(2, "");
    let first = ask(&control);
    fake.until_asked(1);
    file.write(3, "");
    let second = ask(&control);
    assert_eq!(wait(first), Ok(Outcome::Cancelled));
    fake.until_asked(2);
    fake.change(|state| state.may_end = 1);
    assert_eq!(done(wait(second).unwrap()), 2);
    assert_eq!((fake.asked(), fake.shown()), (vec![2, 3], vec![3]));
    assert_eq!(control.members()["last_reload"]["result"], "success");
}

#[test]
fn wishes_that_wait_are_fulfilled_by_one_reload() {
    let (fake, file) = (Fake::default(), File::new("together"));
    let control = start(&fake, &file);
    let first = ask(&control);
    fake.until_asked(1);
    // It is past the point at which it could end: it succeeds, though newer wishes wait.
    fake.change(|state| state.deaf = true);
    let others: Vec<_> = (0..20).map(|_| ask(&control)).collect();
    file.write(7, "");
    control.ask(By::Signal);
    fake.change(|state| state.may_end = 2);
    assert_eq!(done(wait(first).unwrap()), 2);
    for other in others {
        assert_eq!(done(wait(other).unwrap()), 3);
    }
    assert_eq!(fake.asked(), [1, 7]);
}

#[test]
fn a_stop_cancels_and_answers_all() {
    let (fake, file) = (Fake::default(), File::new("stop"));
    let control = start(&fake, &file);
    let first = ask(&control);
    fake.until_asked(1);
    fake.change(|state| state.deaf = true);
    let second = ask(&control);
    control.stop();
    assert_eq!((wait(first), wait(second)), (Ok(Outcome::Stopping), Ok(Outcome::Stopping)));
    assert_eq!(wait(control.reload(By::Admin)), Outcome::Stopping);
    fake.change(|state| state.may_end = 1);
}

#[test]
fn no_reload_runs_while_another_process_takes_over() {
    let (fake, file) = (Fake::default(), File::new("upgrade"));
    let control = start(&fake, &file);
    let first = ask(&control);
    fake.until_asked(1);
    let reason = control.refuse_reloads().unwrap_err();
    assert!(reason.contains("a reload runs") && reason.contains("ask again"), "{reason}");
    fake.change(|state| state.may_end = usize::MAX);
    assert_eq!(done(wait(first).unwrap()), 2);
    let starting = control.refuse_reloads().unwrap();
    assert!(control.refuse_reloads().unwrap_err().contains("starting already"));
    let Outcome::Refused(reason) = wait(control.reload(By::Signal)) else { panic!() };
    assert!(reason.contains("another process is starting") && reason.contains("ask again"), "{reason}");
    assert_eq!((fake.asked().len(), control.failure()), (1, None));
    drop(starting);
    assert_eq!(done(wait(control.reload(By::Admin))), 3);
}

/// A reload whose thread panics.
#[derive(Clone, Default)]
struct Panics(Arc<AtomicUsize>);

impl Reload for Panics {
    fn reload(&self, _: Config, _: &Cancel) -> Result<Reloaded, ServeError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::panic::resume_unwind(Box::new("a reload's panic"));
    }

    fn generations(&self) -> Vec<Held> {
        Vec::new()
    }
}

#[test]
fn a_reload_that_panics_has_failed() {
    let file = File::new("panic");
    let (_, source) = Source::read_first(&file.path()).unwrap();
    let control = Control::start(Panics::default(), source.unwrap(), false).unwrap();
    for _ in 0..2 {
        let Outcome::Refused(error) = wait(control.reload(By::Admin)) else { panic!() };
        assert!(error.contains("ended by a panic"), "{error}");
    }
}

#[test]
fn a_first_read_that_fails_says_why() {
    let error = Source::read_first(Path::new("/nowhere/gateway.yaml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/gateway.yaml: cannot read the configuration"), "{error}");
}
