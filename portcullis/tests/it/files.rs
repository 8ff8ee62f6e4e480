//! Directories of the system.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use portcullis::abi::Errno;
use portcullis::files::open_directory;
use portcullis::resources::{Directory, File, Node, OpenHow, Times};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// A folder that goes when its test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portcullis-files-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> Box<dyn Directory> {
        open_directory(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const WRITE: OpenHow = OpenHow {
    read: true,
    write: true,
    create: true,
    exclusive: false,
    truncate: false,
    directory: false,
    follow: true,
};
const READ: OpenHow = OpenHow { write: false, create: false, ..WRITE };

fn file(directory: &dyn Directory, name: &str) -> Box<dyn File> {
    match directory.open(name, WRITE).unwrap() {
        Node::File(file) => file,
        Node::Directory(_) => panic!("a directory"),
    }
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = Folder::new("pipe");
    mknodat(CWD, folder.0.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let directory = folder.open();
    for how in [READ, OpenHow { read: false, ..WRITE }, WRITE] {
        assert_eq!(directory.open("pipe", how).err(), Some(Errno::Notsup));
    }
    assert_eq!(directory.set_times_of("pipe", true, Times::default()).err(), Some(Errno::Notsup));
    assert!(matches!(directory.open("regular", WRITE), Ok(Node::File(_))));
}

#[test]
fn what_several_append_is_not_overwritten() {
    let folder = Folder::new("append");
    let (mut one, mut other) = (file(&*folder.open(), "log"), file(&*folder.open(), "log"));
    for file in [&mut one, &mut other] {
        file.set_append(true).unwrap();
    }
    for round in ["1", "2"] {
        assert_eq!(one.write_at(format!("a{round}").as_bytes(), 0), Ok(2));
        assert_eq!(other.write_at(format!("b{round}").as_bytes(), 0), Ok(2));
    }
    one.set_append(false).unwrap();
    assert_eq!(one.write_at(b"A", 0), Ok(1));
    assert_eq!(std::fs::read_to_string(folder.0.join("log")).unwrap(), "A1b1a2b2");
}

#[test]
fn names_that_are_no_text_are_not_listed() {
    let folder = Folder::new("names");
    std::fs::write(folder.0.join(OsStr::from_bytes(b"\xff")), "").unwrap();
    std::fs::write(folder.0.join("text"), "").unwrap();
    let names: Vec<_> = folder.open().entries().unwrap().map(|entry| entry.unwrap().name).collect();
    assert_eq!(names, ["text"]);
}

#[test]
fn a_directory_has_times_and_goes_to_the_disk() {
    let folder = Folder::new("times");
    let directory = folder.open();
    directory.create_directory("sub").unwrap();
    let Node::Directory(sub) = directory.open("sub", READ).unwrap() else { panic!("a file") };
    for directory in [&*directory, &*sub] {
        directory.set_times(Times { accessed: None, modified: Some(5_000_000_007) }).unwrap();
        assert_eq!(directory.metadata().unwrap().modified, 5_000_000_007);
        directory.sync().unwrap();
    }
    assert_eq!(directory.open("sub", WRITE).err(), Some(Errno::Isdir));
    let file = file(&*directory, "file");
    file.sync(true).unwrap();
    assert_eq!(directory.open("file", OpenHow { directory: true, ..READ }).err(), Some(Errno::Notdir));
}

#[test]
fn the_end_of_a_path_is_followed_only_if_wanted() {
    let folder = Folder::new("links");
    let directory = folder.open();
    file(&*directory, "file").write_at(b"text", 0).unwrap();
    directory.symlink("file", "link").unwrap();
    let not = OpenHow { follow: false, ..READ };
    assert_eq!(directory.open("link", not).err(), Some(Errno::Loop));
    assert!(directory.open("link", READ).is_ok());
    let target = |follow| directory.metadata_of("link", follow).unwrap();
    assert_eq!((target(true).inode, target(false).size), (directory.metadata_of("file", true).unwrap().inode, 4));
    assert_ne!(target(true).inode, target(false).inode);
    assert_eq!(directory.symlink("/etc", "absolute").err(), Some(Errno::Perm));
    directory.link("file", &*folder.open(), "second").unwrap();
    assert_eq!(directory.metadata_of("second", true).unwrap().links, 2);
}
