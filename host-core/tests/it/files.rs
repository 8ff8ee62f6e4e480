//! WASI's files: preopened directories, and what a guest opens in them.

use crate::common::Setup;
use portcullis_core::abi::CallbackId;
use portcullis_core::engine::Caller;
use portcullis_core::hostcall::entry;
use portcullis_core::resources::Preopen;
use portcullis_core::testing::{FakeFiles, NullCaller};

const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const ROFS: i32 = 69;
const NOTCAPABLE: i32 = 76;

const READ: i64 = 1 << 1;
const SEEK: i64 = 1 << 2;
const WRITE: i64 = 1 << 6;
const ALL: i64 = (1 << 28) - 1;
const CREATE: i32 = 1;
const DIRECTORY: i32 = 2;
const EXCLUSIVE: i32 = 4;
const TRUNCATE: i32 = 8;

/// Descriptors of the two directories.
const READ_ONLY: i32 = 3;
const WRITABLE: i32 = 4;

/// Runs a guest that has `/ro` and `/rw`, the latter to be written.
fn with_files(run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> FakeFiles {
    let files = FakeFiles::new(&[("ro/a", b"0123456789"), ("ro/sub/b", b"bb"), ("rw/c", b"cc")]);
    run_with(Setup::new(), &files, run);
    files
}

fn run_with(mut setup: Setup, files: &FakeFiles, run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) {
    setup.host.set_files(files);
    setup.host.set_time(77);
    let preopen = |guest: &str, host: &str, write| Preopen::new(guest, host).with_write(write);
    setup.config.vm.preopens = vec![preopen("/ro", "ro", false), preopen("/rw", "rw", true)];
    setup.during(CallbackId::on_tick, run);
}

fn open(caller: &mut NullCaller<'_>, fd: i32, path: &str, open_flags: i32, rights: i64) -> Result<i32, i32> {
    open_with(caller, fd, path, open_flags, rights, 0)
}

fn open_with(
    caller: &mut NullCaller<'_>,
    fd: i32,
    path: &str,
    open_flags: i32,
    rights: i64,
    flags: i32,
) -> Result<i32, i32> {
    let (path, len) = caller.put(path.as_bytes());
    let inheriting = if open_flags & DIRECTORY != 0 { ALL } else { 0 };
    match entry::path_open(caller, fd, 1, path, len, open_flags, rights, inheriting, flags, 16).unwrap() {
        0 => Ok(caller.word(16).cast_signed()),
        errno => Err(errno),
    }
}

fn vectors(caller: &mut NullCaller<'_>, vectors: &[(i32, i32)]) -> i32 {
    let bytes: Vec<u8> = vectors.iter().flat_map(|(at, len)| [at.to_le_bytes(), len.to_le_bytes()].concat()).collect();
    caller.put(&bytes).0
}

/// The bytes at 1 << 18 whose length is at 16.
fn answer(caller: &mut NullCaller<'_>) -> Vec<u8> {
    let len = caller.word(16) as usize;
    caller.split().0[1 << 18..][..len].to_vec()
}

/// Reads so many bytes at most.
fn read(caller: &mut NullCaller<'_>, fd: i32, len: i32) -> Result<Vec<u8>, i32> {
    let iovs = vectors(caller, &[(1 << 18, len)]);
    match entry::fd_read(caller, fd, iovs, 1, 16).unwrap() {
        0 => Ok(answer(caller)),
        errno => Err(errno),
    }
}

fn write(caller: &mut NullCaller<'_>, fd: i32, bytes: &[u8]) -> Result<u32, i32> {
    let piece = caller.put(bytes);
    let iovs = vectors(caller, &[piece]);
    match entry::fd_write(caller, fd, iovs, 1, 16).unwrap() {
        0 => Ok(caller.word(16)),
        errno => Err(errno),
    }
}

fn number(caller: &mut NullCaller<'_>, at: usize) -> u64 {
    u64::from_le_bytes(caller.split().0[at..at + 8].try_into().unwrap())
}

/// Lists a directory with a buffer of this size: the bytes that were written.
fn list(caller: &mut NullCaller<'_>, fd: i32, size: i32, cookie: i64) -> Result<Vec<u8>, i32> {
    match entry::fd_readdir(caller, fd, 1 << 18, size, cookie, 16).unwrap() {
        0 => Ok(answer(caller)),
        errno => Err(errno),
    }
}

/// Cookie, type and name of each entry.
fn names(mut bytes: &[u8]) -> Vec<(u64, u8, String)> {
    let mut names = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<24>() {
        let len = u32::from_le_bytes(header[16..20].try_into().unwrap()) as usize;
        let Some(name) = rest.get(..len) else { break };
        let cookie = u64::from_le_bytes(header[..8].try_into().unwrap());
        names.push((cookie, header[20], String::from_utf8(name.to_vec()).unwrap()));
        bytes = &rest[len..];
    }
    names
}

#[test]
fn a_guest_finds_its_directories() {
    with_files(|caller| {
        let read_only = [0, 3, 4, 13, 14, 15, 18, 21];
        let changes = [9, 10, 11, 12, 16, 17, 19, 20, 23, 24, 25, 26];
        let rights = |bits: &[u32]| bits.iter().fold(0u64, |rights, bit| rights | 1 << bit);
        let both = rights(&read_only) | rights(&changes);
        for (fd, name, base) in [(3, b"/ro", rights(&read_only)), (4, b"/rw", both)] {
            assert_eq!(entry::fd_prestat_get(caller, fd, 33).unwrap(), 0);
            assert_eq!((caller.word(33), caller.word(37)), (0, 3));
            assert_eq!(entry::fd_prestat_dir_name(caller, fd, 64, 2).unwrap(), 37);
            assert_eq!(entry::fd_prestat_dir_name(caller, fd, 64, 4).unwrap(), 0);
            assert_eq!(&caller.split().0[64..67], name);
            assert_eq!(entry::fd_fdstat_get(caller, fd, 33).unwrap(), 0);
            assert_eq!(caller.word(33), 3, "a directory, no flags");
            assert_eq!(number(caller, 41), base);
            assert_eq!(number(caller, 49), (1 << 28) - 1);
        }
        assert_eq!(entry::fd_prestat_get(caller, 5, 33).unwrap(), BADF);
        assert_eq!(entry::fd_prestat_get(caller, 3, -4).unwrap(), FAULT);
        assert_eq!(entry::fd_prestat_dir_name(caller, 3, -4, 3).unwrap(), FAULT);
        assert_eq!(entry::path_open(caller, 9, 0, 0, 0, 0, 0, 0, 0, 0).unwrap(), BADF, "with directories, no NOENT");
        assert_eq!(entry::path_open(caller, 1, 0, 0, 0, 0, 0, 0, 0, 0).unwrap(), 44);
    });
}

#[test]
fn reading_seeking_and_telling() {
    with_files(|caller| {
        let fd = open(caller, READ_ONLY, "a", 0, ALL & !WRITE).unwrap();
        assert_eq!(fd, 5);
        let iovs = vectors(caller, &[(1000, 3), (2000, 0), (3000, 4)]);
        assert_eq!(entry::fd_read(caller, fd, iovs, 3, 16).unwrap(), 0);
        assert_eq!((caller.word(16), &caller.split().0[1000..1003]), (7, &b"012"[..]));
        assert_eq!(&caller.split().0[3000..3004], b"3456");
        assert_eq!(entry::fd_tell(caller, fd, 24).unwrap(), 0);
        assert_eq!(number(caller, 24), 7);
        assert_eq!(read(caller, fd, 100).unwrap(), b"789");
        assert_eq!(read(caller, fd, 100).unwrap(), b"");
        for (offset, whence, to) in [(-4, 2, 6), (-1, 1, 5), (2, 0, 2), (1 << 40, 0, 1 << 40)] {
            assert_eq!(entry::fd_seek(caller, fd, offset, whence, 24).unwrap(), 0);
            assert_eq!(number(caller, 24), to);
        }
        assert_eq!(read(caller, fd, 100).unwrap(), b"", "behind the end");
        for (offset, whence) in [(-1, 0), (-11, 2), (i64::MAX, 2), (0, 3), (0, -1)] {
            assert_eq!(entry::fd_seek(caller, fd, offset, whence, 24).unwrap(), INVAL, "{offset} {whence}");
        }
        assert_eq!(entry::fd_seek(caller, fd, 0, 0, -1).unwrap(), FAULT);
        assert_eq!(entry::fd_tell(caller, fd, 24).unwrap(), 0);
        assert_eq!(number(caller, 24), 1 << 40, "a seek that fails does not move");
        let iovs = vectors(caller, &[(1000, 2)]);
        assert_eq!(entry::fd_pread(caller, fd, iovs, 1, 8, 16).unwrap(), 0);
        assert_eq!((caller.word(16), &caller.split().0[1000..1002]), (2, &b"89"[..]));
    });
}

#[test]
fn pointers_are_checked_before_anything_happens() {
    let files = with_files(|caller| {
        let fd = open(caller, WRITABLE, "c", 0, ALL).unwrap();
        let good = vectors(caller, &[(1000, 1)]);
        let bad = vectors(caller, &[(1000, 1), (-8, 4)]);
        assert_eq!(entry::fd_write(caller, fd, good, 1, -1).unwrap(), FAULT);
        assert_eq!(entry::fd_write(caller, fd, bad, 2, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_read(caller, fd, bad, 2, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_read(caller, fd, -8, 1, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_read(caller, fd, 0, 1 << 29, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_tell(caller, fd, 24).unwrap(), 0);
        assert_eq!(number(caller, 24), 0);
        let (name, len) = caller.put(b"new");
        assert_eq!(entry::path_open(caller, 4, 0, name, len, CREATE, WRITE, 0, 0, -1).unwrap(), FAULT);
        assert_eq!(entry::path_open(caller, 4, 0, -1, 9, CREATE, WRITE, 0, 0, 16).unwrap(), FAULT);
        for (path, errno) in [(&b""[..], 44), (b"a\0b", INVAL), (b"\xff", 25), (&[b'x'; 4097], 37), (b"../x", 63)] {
            let (path, len) = caller.put(path);
            assert_eq!(entry::path_open(caller, 4, 0, path, len, 0, READ, 0, 0, 16).unwrap(), errno);
        }
        for (lookup, open_flags, flags) in [(2, 0, 0), (0, 16, 0), (0, -1, 0), (0, 0, 32), (0, 0, -1)] {
            let errno = entry::path_open(caller, 4, lookup, name, len, open_flags, READ, 0, flags, 16).unwrap();
            assert_eq!(errno, INVAL, "{lookup} {open_flags} {flags}");
        }
        assert_eq!(open(caller, WRITABLE, "x", DIRECTORY | CREATE, WRITE), Err(INVAL));
    });
    assert_eq!(files.read("rw/new"), None);
    assert_eq!(files.read("rw/c").unwrap(), b"cc");
}

#[test]
fn a_long_transfer_is_short() {
    let files = with_files(|caller| {
        // The memory of these guests is 1 MiB, so the same bytes are named again and again.
        let many = vectors(caller, &[(0, 1 << 19); 5]);
        let fd = open(caller, WRITABLE, "big", CREATE, ALL).unwrap();
        assert_eq!(entry::fd_write(caller, fd, many, 5, 16).unwrap(), 0);
        assert_eq!(caller.word(16), 1 << 20);
        assert_eq!(entry::fd_filestat_set_size(caller, fd, 3 << 20).unwrap(), 0);
        assert_eq!(entry::fd_seek(caller, fd, 0, 0, 24).unwrap(), 0);
        let many = vectors(caller, &[(1 << 18, 1 << 18); 9]);
        assert_eq!(entry::fd_read(caller, fd, many, 9, 16).unwrap(), 0);
        assert_eq!(caller.word(16), 1 << 20);
    });
    assert_eq!(files.read("rw/big").unwrap().len(), 3 << 20);
}

#[test]
fn what_is_written_stays() {
    let files = with_files(|caller| {
        assert_eq!(open(caller, WRITABLE, "c", CREATE | EXCLUSIVE, WRITE), Err(20));
        let fd = open(caller, WRITABLE, "new", CREATE | EXCLUSIVE, ALL).unwrap();
        assert_eq!(write(caller, fd, b"hello"), Ok(5));
        assert_eq!(write(caller, fd, b" there"), Ok(6));
        let piece = caller.put(b"J");
        let iovs = vectors(caller, &[piece]);
        assert_eq!(entry::fd_pwrite(caller, fd, iovs, 1, 0, 16).unwrap(), 0);
        assert_eq!(entry::fd_seek(caller, fd, 1, 0, 24).unwrap(), 0);
        assert_eq!(read(caller, fd, 4).unwrap(), b"ello");
        // To the end, wherever the guest is; which it is then.
        assert_eq!(entry::fd_fdstat_set_flags(caller, fd, 1).unwrap(), 0);
        assert_eq!(write(caller, fd, b"!"), Ok(1));
        assert_eq!(entry::fd_tell(caller, fd, 24).unwrap(), 0);
        assert_eq!(number(caller, 24), 12);
        assert_eq!(entry::fd_fdstat_set_flags(caller, fd, 32).unwrap(), INVAL);
        assert_eq!(entry::fd_fdstat_get(caller, fd, 32).unwrap(), 0);
        assert_eq!(caller.word(32), 4 | 1 << 16, "a file that is appended to");
        for sync in [entry::fd_sync, entry::fd_datasync] {
            assert_eq!(sync(caller, fd).unwrap(), 0);
        }
        let log = open_with(caller, WRITABLE, "c", 0, WRITE, 1 | 16).unwrap();
        assert_eq!(write(caller, log, b"+"), Ok(1));
        let emptied = open(caller, WRITABLE, "emptied", CREATE, WRITE).unwrap();
        assert_eq!(write(caller, emptied, b"x"), Ok(1));
        open(caller, WRITABLE, "emptied", TRUNCATE, WRITE).unwrap();
    });
    assert_eq!(files.read("rw/new").unwrap(), b"Jello there!");
    assert_eq!(files.read("rw/c").unwrap(), b"cc+");
    assert_eq!(files.read("rw/emptied").unwrap(), b"");
}

#[test]
fn a_read_only_directory_is_not_changed() {
    let files = with_files(|caller| {
        assert_eq!(open(caller, READ_ONLY, "a", 0, WRITE), Err(ROFS));
        assert_eq!(open(caller, READ_ONLY, "new", CREATE, READ), Err(ROFS));
        assert_eq!(open(caller, READ_ONLY, "a", TRUNCATE, READ), Err(ROFS));
        let sub = open(caller, READ_ONLY, "sub", DIRECTORY, ALL).unwrap();
        assert_eq!(open(caller, sub, "b", 0, WRITE), Err(ROFS), "nor is what is in it");
        let file = open(caller, READ_ONLY, "a", 0, ALL & !WRITE).unwrap();
        assert_eq!(write(caller, file, b"x"), Err(ROFS));
        assert_eq!(entry::fd_filestat_set_size(caller, file, 0).unwrap(), ROFS);
        assert_eq!(entry::fd_filestat_set_times(caller, file, 0, 0, 5).unwrap(), ROFS);
        assert_eq!(entry::fd_filestat_set_times(caller, READ_ONLY, 0, 0, 5).unwrap(), ROFS);
        let ((a, n), (x, m)) = (caller.put(b"a"), caller.put(b"x"));
        for fd in [READ_ONLY, sub] {
            assert_eq!(entry::path_create_directory(caller, fd, x, m).unwrap(), ROFS);
            assert_eq!(entry::path_remove_directory(caller, fd, x, m).unwrap(), ROFS);
            assert_eq!(entry::path_unlink_file(caller, fd, a, n).unwrap(), ROFS);
            assert_eq!(entry::path_symlink(caller, a, n, fd, x, m).unwrap(), ROFS);
            assert_eq!(entry::path_filestat_set_times(caller, fd, 0, a, n, 0, 0, 5).unwrap(), ROFS);
            // In neither direction: through a link, a file could be written.
            for (from, to) in [(fd, WRITABLE), (WRITABLE, fd)] {
                assert_eq!(entry::path_rename(caller, from, a, n, to, x, m).unwrap(), ROFS);
                assert_eq!(entry::path_link(caller, from, 0, a, n, to, x, m).unwrap(), ROFS);
            }
        }
        assert_eq!(read(caller, file, 2).unwrap(), b"01", "it can be read");
    });
    assert_eq!(files.read("ro/a").unwrap(), b"0123456789");
    assert_eq!(files.read("rw/x"), None);
}

#[test]
fn a_descriptor_has_the_rights_that_were_asked_for() {
    with_files(|caller| {
        let reader = open(caller, WRITABLE, "c", 0, READ).unwrap();
        assert_eq!(write(caller, reader, b"x"), Err(NOTCAPABLE));
        assert_eq!(entry::fd_seek(caller, reader, 0, 0, 24).unwrap(), NOTCAPABLE);
        assert_eq!(read(caller, reader, 9).unwrap(), b"cc");
        let writer = open(caller, WRITABLE, "c", 0, WRITE | SEEK).unwrap();
        assert_eq!(read(caller, writer, 9), Err(NOTCAPABLE));
        assert_eq!(entry::fd_fdstat_set_rights(caller, writer, SEEK | READ, 0).unwrap(), NOTCAPABLE);
        assert_eq!(entry::fd_fdstat_set_rights(caller, writer, SEEK, 0).unwrap(), 0);
        assert_eq!(write(caller, writer, b"x"), Err(NOTCAPABLE));
        // What a directory does not pass on cannot be had in it.
        assert_eq!(entry::fd_fdstat_set_rights(caller, WRITABLE, 1 << 13, READ).unwrap(), 0);
        assert_eq!(open(caller, WRITABLE, "c", 0, WRITE), Err(NOTCAPABLE));
        let (x, m) = caller.put(b"x");
        assert_eq!(entry::path_create_directory(caller, WRITABLE, x, m).unwrap(), NOTCAPABLE);
        assert!(open(caller, WRITABLE, "c", 0, READ).is_ok());
    });
}

#[test]
fn descriptors_are_few_and_closed_ones_are_gone() {
    let mut setup = Setup::new();
    setup.config.vm.limits.open_files = 2;
    let files = FakeFiles::new(&[("ro/a", b"0"), ("rw/c", b"c")]);
    run_with(setup, &files.clone(), |caller| {
        assert_eq!(open(caller, READ_ONLY, "a", 0, READ), Ok(5));
        assert_eq!(open(caller, WRITABLE, ".", DIRECTORY, ALL), Ok(6));
        assert_eq!(open(caller, WRITABLE, "new", CREATE, WRITE), Err(33));
        assert_eq!(entry::fd_close(caller, 5).unwrap(), 0);
        assert_eq!(read(caller, 5, 1), Err(BADF));
        assert_eq!(entry::fd_close(caller, 5).unwrap(), BADF);
        assert_eq!(entry::fd_sync(caller, 5).unwrap(), BADF);
        assert_eq!(entry::fd_advise(caller, 5, 0, 0, 0).unwrap(), BADF);
        assert_eq!(entry::fd_readdir(caller, 5, 0, 0, 0, 16).unwrap(), BADF);
        assert_eq!(open(caller, READ_ONLY, "a", 0, READ), Ok(5));
        assert_eq!(entry::fd_renumber(caller, 5, 6).unwrap(), 0);
        assert_eq!(read(caller, 6, 1).unwrap(), b"0");
        for (from, to, errno) in [(5, 6, BADF), (6, 5, BADF), (6, 3, 58), (3, 6, 58), (6, 1, 58), (0, 6, BADF)] {
            assert_eq!(entry::fd_renumber(caller, from, to).unwrap(), errno, "{from} {to}");
        }
        assert_eq!(entry::fd_renumber(caller, 6, 6).unwrap(), 0);
        // A preopened directory that is closed is none any more, and gives no room.
        assert_eq!(entry::fd_close(caller, READ_ONLY).unwrap(), 0);
        assert_eq!(entry::fd_prestat_get(caller, READ_ONLY, 32).unwrap(), BADF);
        assert_eq!(open(caller, WRITABLE, "c", 0, READ), Ok(3));
        assert_eq!(open(caller, WRITABLE, "c", 0, READ), Err(33));
        assert_eq!(read(caller, WRITABLE, 1), Err(BADF), "a directory is no file");
        let (x, len) = caller.put(b"x");
        assert_eq!(entry::path_unlink_file(caller, 3, x, len).unwrap(), 54, "nor the reverse");
    });
    assert_eq!(files.read("rw/new"), None);
}

#[test]
fn a_directory_is_listed_in_pieces() {
    let names_of_it: Vec<String> = (0..5).map(|i| format!("rw/file-{i}")).collect();
    let mut all: Vec<(&str, &[u8])> = names_of_it.iter().map(|name| (name.as_str(), &b""[..])).collect();
    all.push(("ro/x", b""));
    run_with(Setup::new(), &FakeFiles::new(&all), |caller| {
        let whole = list(caller, WRITABLE, 4096, 0).unwrap();
        let found = names(&whole);
        assert_eq!(found[..3], [(1, 3, ".".into()), (2, 3, "..".into()), (3, 4, "file-0".into())]);
        assert_eq!(found.len(), 7);
        // Two entries of 25 and 26 bytes, one of 30, and 7 bytes of the next.
        let piece = list(caller, WRITABLE, 88, 0).unwrap();
        assert_eq!(piece, whole[..88]);
        // The one that was cut, and on from it.
        assert_eq!(list(caller, WRITABLE, 4096, 3).unwrap(), whole[81..]);
        assert_eq!(list(caller, WRITABLE, 4096, 7).unwrap(), b"");
        assert_eq!(list(caller, WRITABLE, 4096, 1).unwrap(), whole[25..], "back");
        assert_eq!(list(caller, WRITABLE, 4096, 65_536).unwrap(), b"");
        assert_eq!(list(caller, WRITABLE, 4096, 65_537), Err(INVAL));
        assert_eq!(list(caller, WRITABLE, 4096, -1), Err(INVAL));
        assert_eq!(list(caller, WRITABLE, 0, 0).unwrap(), b"");
        let file = open(caller, WRITABLE, "file-0", 0, ALL).unwrap();
        assert_eq!(list(caller, file, 4096, 0), Err(54));
        assert_eq!(entry::fd_readdir(caller, WRITABLE, -8, 9, 0, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_readdir(caller, WRITABLE, 0, 9, 0, -1).unwrap(), FAULT);
    });
}

#[test]
fn names_are_made_moved_and_removed() {
    let files = with_files(|caller| {
        let ((c, n), (d, m), (up, k)) = (caller.put(b"c"), caller.put(b"d"), caller.put(b"d/moved"));
        assert_eq!(entry::path_create_directory(caller, WRITABLE, d, m).unwrap(), 0);
        assert_eq!(entry::path_create_directory(caller, WRITABLE, d, m).unwrap(), 20);
        assert_eq!(entry::path_rename(caller, WRITABLE, c, n, WRITABLE, up, k).unwrap(), 0);
        assert_eq!(entry::path_remove_directory(caller, WRITABLE, d, m).unwrap(), 55);
        assert_eq!(entry::path_link(caller, WRITABLE, 0, up, k, WRITABLE, c, n).unwrap(), 0);
        assert_eq!(entry::path_link(caller, WRITABLE, 1, up, k, WRITABLE, c, n).unwrap(), INVAL);
        assert_eq!(entry::path_unlink_file(caller, WRITABLE, up, k).unwrap(), 0);
        assert_eq!(entry::path_remove_directory(caller, WRITABLE, d, m).unwrap(), 0);
        assert_eq!(entry::path_symlink(caller, up, k, WRITABLE, d, m).unwrap(), 0);
        assert_eq!(entry::path_readlink(caller, WRITABLE, d, m, 64, 100, 16).unwrap(), 0);
        assert_eq!((caller.word(16), &caller.split().0[64..71]), (7, &b"d/moved"[..]));
        assert_eq!(entry::path_readlink(caller, WRITABLE, d, m, 64, 3, 16).unwrap(), 0);
        assert_eq!(caller.word(16), 3, "cut");
        assert_eq!(entry::path_readlink(caller, WRITABLE, d, m, -2, 3, 16).unwrap(), FAULT);
    });
    assert_eq!(files.read("rw/c").unwrap(), b"cc");
}

#[test]
fn files_are_described_and_get_times() {
    let files = with_files(|caller| {
        let (c, n) = caller.put(b"c");
        assert_eq!(entry::path_filestat_set_times(caller, WRITABLE, 0, c, n, 5, 6, 1 | 4).unwrap(), 0);
        let fd = open(caller, WRITABLE, "c", 0, ALL).unwrap();
        caller.split().0[32..97].fill(0xff);
        assert_eq!(entry::fd_filestat_get(caller, fd, 32).unwrap(), 0);
        let stat: Vec<u64> = (0..8).map(|field| number(caller, 32 + field * 8)).collect();
        assert_eq!(stat, [7, stat[1], 4, 1, 2, 5, 6, 9]);
        assert_eq!(entry::path_filestat_get(caller, WRITABLE, 1, c, n, 104).unwrap(), 0);
        assert_eq!(number(caller, 112), stat[1]);
        assert_eq!(entry::fd_filestat_get(caller, fd, -8).unwrap(), FAULT);
        for flags in [3, 12, 16, -1] {
            assert_eq!(entry::fd_filestat_set_times(caller, fd, 0, 0, flags).unwrap(), INVAL, "{flags}");
        }
        // Now, and the other one stays.
        assert_eq!(entry::fd_filestat_set_times(caller, fd, 0, 0, 8).unwrap(), 0);
        assert_eq!(entry::fd_allocate(caller, fd, 0, 9).unwrap(), 58);
        assert_eq!(entry::fd_advise(caller, fd, 0, 9, 5).unwrap(), 0);
        assert_eq!(entry::fd_advise(caller, fd, 0, 9, 6).unwrap(), INVAL);
    });
    assert_eq!(files.times("rw/c"), Some((5, 77)));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let mut setup = Setup::new();
    setup.config.vm.preopens = vec![Preopen::new("/data", "nowhere")];
    let error = setup.vm().0.err().unwrap().to_string();
    let expected =
        "preopen \"/data\": cannot open the directory nowhere: there is none; make it, or correct its host path";
    assert_eq!(error, expected);
}
