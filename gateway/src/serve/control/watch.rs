//! Files whose change is a wish to reload (`watch: true`): the configuration and all files that it names, also those that are not there.
//!
//! They are looked at a few times a second (one `stat` each, microseconds for a hundred) rather than subscribed to. A subscription would
//! have to follow each link of each path (Kubernetes swaps the link `..data`), folders that are not there yet, and files that are
//! replaced; it hears nothing on network and many container file systems, and can fail for want of watches where everything else works.
//! Looking does the same everywhere.
//!
//! | state | files are as at the last look | they are not |
//! |---|---|---|
//! | quiet: they are as a reload has read them | – | unsettled |
//! | unsettled | after [`Times::settle`]: a wish, unless they are as they were read | unsettled anew |
//! | held: a reload that the watch wished for has failed | after [`Times::patience`] the failure is told | unsettled; the failure is forgotten |
//!
//! A wish is due also for files that are as they were read if a change has cancelled a reload ([`Watch::owe`]): they may have been
//! swapped away and back.
//!
//! A file that is written in two halves, and a certificate whose key comes later, are thus one reload; a failure in between is not told.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Times of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two looks.
    pub(super) look: Duration,
    /// How long files stay as they are before they are read.
    pub(super) settle: Duration,
    /// How long a failure waits for a further change.
    pub(super) patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [look, settle, patience] = [250, 1000, 5000].map(Duration::from_millis);
        Self { look, settle, patience }
    }
}

/// Numbers that tell two states of a file apart; none of a file that is not there.
type State = Option<[i128; 5]>;

/// The state of files at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look(Vec<(PathBuf, State)>);

impl Look {
    /// Looks at a configuration and the files that it names.
    pub(super) fn at(configuration: &Path, files: &[PathBuf]) -> Self {
        let all = std::iter::once(configuration).chain(files.iter().map(PathBuf::as_path));
        Self(all.map(|path| (path.to_owned(), state(path))).collect())
    }

    /// Looks at the same files again.
    pub(super) fn again(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| (path.clone(), state(path))).collect())
    }

    /// Returns whether the files are as they were.
    pub(super) fn is_as_it_was(&self) -> bool {
        self.0.iter().all(|(path, was)| state(path) == *was)
    }
}

/// Returns the state of the file that a path leads to now.
fn state(path: &Path) -> State {
    let found = std::fs::metadata(path).ok()?;
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Some([
        found.dev().into(),
        found.ino().into(),
        found.len().into(),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    ])
}

/// The watch of the files of one configuration.
#[derive(Debug)]
pub(super) struct Watch<F> {
    times: Times,
    /// The files as a reload has read them last.
    read: Look,
    /// Whether a reload has read the files and was cancelled since they changed.
    owes: bool,
    phase: Phase<F>,
}

#[derive(Debug)]
enum Phase<F> {
    Quiet,
    Unsettled { seen: Look, since: Instant },
    Held { failure: F, since: Instant },
}

/// The consequence of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<F> {
    Nothing,
    /// The files are to be read.
    Changed,
    /// A failure is to be told.
    Failed(F),
}

impl<F> Watch<F> {
    /// Watches files that have been read.
    pub(super) fn new(times: Times, read: Look) -> Self {
        Self { times, read, owes: false, phase: Phase::Quiet }
    }

    /// Returns the time between two looks.
    pub(super) fn interval(&self) -> Duration {
        self.times.look
    }

    /// Takes note of files that a reload has read, whoever wished for it.
    pub(super) fn has_read(&mut self, read: Look) {
        *self = Self::new(self.times, read);
    }

    /// Holds a failure of files that have been read, until they change or have not for long.
    pub(super) fn hold(&mut self, failure: F, now: Instant) {
        self.phase = Phase::Held { failure, since: now };
    }

    /// Wishes for a reload once files are settled, whether or not they are as they were read.
    pub(super) fn owe(&mut self, now: Instant) {
        self.owes = true;
        self.phase = Phase::Unsettled { seen: self.read.again(), since: now };
    }

    /// Looks at the files.
    pub(super) fn look(&mut self, now: Instant) -> Seen<F> {
        let look = self.read.again();
        match &mut self.phase {
            Phase::Unsettled { seen, since } if *seen == look => {
                if now.saturating_duration_since(*since) < self.times.settle {
                    return Seen::Nothing;
                }
                let is_change = self.owes || look != self.read;
                self.phase = Phase::Quiet;
                if is_change { Seen::Changed } else { Seen::Nothing }
            }
            Phase::Quiet if look == self.read && !self.owes => Seen::Nothing,
            Phase::Held { since, .. } if look == self.read => {
                if now.saturating_duration_since(*since) < self.times.patience {
                    return Seen::Nothing;
                }
                match std::mem::replace(&mut self.phase, Phase::Quiet) {
                    Phase::Held { failure, .. } => Seen::Failed(failure),
                    _ => Seen::Nothing,
                }
            }
            Phase::Quiet | Phase::Unsettled { .. } | Phase::Held { .. } => {
                self.phase = Phase::Unsettled { seen: look, since: now };
                Seen::Nothing
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A watch of real files, whose time is the test's.
    struct Test {
        folder: PathBuf,
        watch: Watch<&'static str>,
        now: Instant,
    }

    const MS: Duration = Duration::from_millis(1);

    impl Test {
        /// Watches these paths in a folder of its own, as `make` has made it.
        fn new(name: &str, paths: &[&str], make: impl FnOnce(&Path)) -> Self {
            let folder = std::env::temp_dir().join(format!("portcullis-watch-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir(&folder).unwrap();
            make(&folder);
            let paths: Vec<_> = paths.iter().map(|path| folder.join(path)).collect();
            let look = Look::at(paths.first().unwrap(), paths.get(1..).unwrap());
            Self { folder, watch: Watch::new(Times::default(), look), now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.join(name)
        }

        /// Looks after a time.
        fn after(&mut self, milliseconds: u32) -> Seen<&'static str> {
            self.now += MS * milliseconds;
            self.watch.look(self.now)
        }

        /// Looks until files that have changed are settled, which they are once; then they are read.
        fn is_one_change(&mut self) {
            let mut changes = 0;
            for _ in 0..40 {
                if self.after(250) == Seen::Changed {
                    changes += 1;
                    self.watch.has_read(self.watch.read.again());
                }
            }
            assert_eq!(changes, 1);
        }
    }

    impl Drop for Test {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn a_file_in_two_halves_is_one_change() {
        let mut test = Test::new("halves", &["a.yaml"], |folder| fs::write(folder.join("a.yaml"), "old").unwrap());
        assert_eq!(test.after(250), Seen::Nothing);
        fs::write(test.path("a.yaml"), "first ").unwrap();
        for _ in 0..4 {
            assert_eq!(test.after(250), Seen::Nothing, "unsettled");
        }
        fs::write(test.path("a.yaml"), "first second").unwrap();
        for _ in 0..4 {
            assert_eq!(test.after(250), Seen::Nothing, "unsettled anew");
        }
        assert_eq!(test.after(250), Seen::Changed);
        test.watch.has_read(test.watch.read.again());
        assert_eq!(test.after(10_000), Seen::Nothing);
    }

    #[test]
    fn a_rename_over_a_file_is_a_change_and_so_are_coming_and_going() {
        let mut test =
            Test::new("rename", &["a.yaml", "plugin.wasm"], |folder| fs::write(folder.join("a.yaml"), "same").unwrap());
        // Of the same length, and with the same time.
        let old = fs::metadata(test.path("a.yaml")).unwrap().modified().unwrap();
        fs::write(test.path("new"), "SAME").unwrap();
        fs::File::options().write(true).open(test.path("new")).unwrap().set_modified(old).unwrap();
        fs::rename(test.path("new"), test.path("a.yaml")).unwrap();
        test.is_one_change();
        fs::write(test.path("plugin.wasm"), "").unwrap();
        test.is_one_change();
        fs::remove_file(test.path("plugin.wasm")).unwrap();
        test.is_one_change();
        assert_eq!(test.after(250), Seen::Nothing);
    }

    /// As Kubernetes changes all files of a volume at once.
    #[test]
    fn a_swapped_link_to_a_folder_is_one_change() {
        let version = |folder: &Path, name: &str| {
            fs::create_dir(folder.join(name)).unwrap();
            for file in ["a.yaml", "tls.crt", "tls.key"] {
                fs::write(folder.join(name).join(file), name).unwrap();
            }
        };
        let paths = ["a.yaml", "tls.crt", "tls.key"];
        let mut test = Test::new("data", &paths, |folder| {
            version(folder, "..2026_1");
            symlink("..2026_1", folder.join("..data")).unwrap();
            paths.iter().for_each(|file| symlink(format!("..data/{file}"), folder.join(file)).unwrap());
        });
        version(&test.folder, "..2026_2");
        assert_eq!(test.after(5000), Seen::Nothing, "nothing leads there yet");
        symlink("..2026_2", test.path("..data_tmp")).unwrap();
        fs::rename(test.path("..data_tmp"), test.path("..data")).unwrap();
        fs::remove_dir_all(test.path("..2026_1")).unwrap();
        test.is_one_change();
    }

    #[test]
    fn files_that_are_as_they_were_are_no_change() {
        let mut test = Test::new("back", &["link"], |folder| {
            fs::write(folder.join("one"), "1").unwrap();
            fs::write(folder.join("two"), "2").unwrap();
            symlink("one", folder.join("link")).unwrap();
        });
        let lead_to = |test: &Test, name: &str| {
            symlink(name, test.path("new")).unwrap();
            fs::rename(test.path("new"), test.path("link")).unwrap();
        };
        lead_to(&test, "two");
        assert_eq!(test.after(250), Seen::Nothing);
        lead_to(&test, "one");
        for _ in 0..20 {
            assert_eq!(test.after(250), Seen::Nothing);
        }
    }

    #[test]
    fn a_reload_that_a_change_has_cancelled_is_owed_though_files_are_as_they_were() {
        let mut test = Test::new("owed", &["a.yaml"], |folder| fs::write(folder.join("a.yaml"), "1").unwrap());
        test.watch.owe(test.now);
        test.is_one_change();
    }

    #[test]
    fn a_failure_is_told_when_no_change_has_followed() {
        let mut test = Test::new("held", &["a.yaml"], |folder| fs::write(folder.join("a.yaml"), "1").unwrap());
        fs::write(test.path("a.yaml"), "broken").unwrap();
        test.is_one_change();
        test.watch.hold("broken", test.now);
        assert_eq!(
            (test.after(4750), test.after(250), test.after(250)),
            (Seen::Nothing, Seen::Failed("broken"), Seen::Nothing)
        );
        fs::write(test.path("a.yaml"), "broken, too").unwrap();
        test.is_one_change();
        test.watch.hold("broken, too", test.now);
        assert_eq!(test.after(4000), Seen::Nothing);
        fs::write(test.path("a.yaml"), "whole and longer").unwrap();
        test.is_one_change();
    }
}
