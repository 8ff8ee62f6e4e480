//! WASI, and what toolchains import besides.

use crate::common::{Setup, during};
use portcullis_core::abi::{CallbackId, LogLevel};
use portcullis_core::engine::{Caller, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::NullCaller;

const BADF: i32 = 8;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const NOTSUP: i32 = 58;

/// Writes the pieces in one call: the errno and how much was written.
fn write(caller: &mut NullCaller<'_>, fd: i32, pieces: &[&[u8]]) -> (i32, u32) {
    let vectors: Vec<u8> = pieces.iter().map(|piece| caller.put(piece)).flat_map(vector).collect();
    let (iovs, _) = caller.put(&vectors);
    (entry::fd_write(caller, fd, iovs, pieces.len().try_into().unwrap(), 16).unwrap(), caller.word(16))
}

fn vector((pointer, len): (i32, i32)) -> [u8; 8] {
    [pointer.to_le_bytes(), len.to_le_bytes()].concat().try_into().unwrap()
}

#[test]
fn a_write_to_standard_output_or_error_is_a_log_line_without_its_newline() {
    let started = during(CallbackId::on_tick, |caller| {
        assert_eq!(write(caller, 1, &[b"a", b"", b"b\n\n"]), (0, 4), "the newline counts");
        assert_eq!(write(caller, 2, &[b"error"]), (0, 5));
        assert_eq!(write(caller, 1, &[b"\n"]), (0, 1));
        assert_eq!(write(caller, 1, &[]), (0, 0));
        assert_eq!(write(caller, 0, &[b"x"]).0, BADF);
        assert_eq!(write(caller, 3, &[b"x"]).0, BADF);
        let (iovs, _) = caller.put(&vector((-8, 4)));
        assert_eq!(entry::fd_write(caller, 1, iovs, 1, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_write(caller, 1, -8, 1, 16).unwrap(), FAULT);
        assert_eq!(entry::fd_write(caller, 1, 0, 1 << 29, 16).unwrap(), FAULT, "8 times as many overflow");
        let (iovs, _) = caller.put(&vector((0, 0)));
        assert_eq!(entry::fd_write(caller, 1, iovs, 1, -1).unwrap(), FAULT);
        assert_eq!(entry::fd_pwrite(caller, 1, iovs, 1, 9, 16).unwrap(), 0);
    });
    let lines: Vec<_> = started.host.lines().into_iter().map(|line| (line.level, line.message)).collect();
    assert_eq!(lines, [(LogLevel::Info, "ab\n".into()), (LogLevel::Error, "error".into())]);
}

#[test]
fn a_long_write_is_short() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(write(caller, 1, &[&[b'x'; 40_000], &[b'y'; 40_000]]), (0, 65_536));
        assert_eq!(write(caller, 1, &[&b"z"[..]; 2000]), (0, 1024));
    });
}

#[test]
fn the_standard_streams_are_logs_and_nothing_else_is_open() {
    during(CallbackId::on_tick, |caller| {
        for (fd, errno) in [(1, 0), (2, 0), (0, BADF), (3, BADF), (-1, BADF)] {
            assert_eq!(entry::fd_fdstat_get(caller, fd, 33).unwrap(), errno);
            assert_eq!(entry::fd_tell(caller, fd, 64).unwrap(), errno);
            assert_eq!(entry::fd_seek(caller, fd, 5, 0, 64).unwrap(), errno);
            assert_eq!(entry::fd_close(caller, fd).unwrap(), errno);
            assert_eq!(entry::fd_sync(caller, fd).unwrap(), errno);
            assert_eq!(entry::fd_datasync(caller, fd).unwrap(), errno);
            assert_eq!(entry::fd_allocate(caller, fd, 0, 0).unwrap(), errno);
            assert_eq!(entry::fd_fdstat_set_rights(caller, fd, 0, 0).unwrap(), errno);
            assert_eq!(entry::fd_filestat_set_size(caller, fd, 0).unwrap(), errno);
            assert_eq!(entry::fd_filestat_set_times(caller, fd, 0, 0, 0).unwrap(), errno);
            assert_eq!(entry::fd_renumber(caller, fd, 1).unwrap(), if errno == 0 { NOTSUP } else { BADF });
            assert_eq!(entry::fd_renumber(caller, 1, fd).unwrap(), if errno == 0 { NOTSUP } else { BADF });
            assert_eq!(entry::fd_prestat_get(caller, fd, 64).unwrap(), BADF);
            assert_eq!(entry::fd_filestat_get(caller, fd, 64).unwrap(), BADF);
            assert_eq!(entry::fd_advise(caller, fd, 0, 0, 0).unwrap(), 0);
        }
        assert_eq!([33, 37, 41, 45, 49, 53].map(|at| caller.word(at)), [0, 0, 64, 0, 0, 0], "the right to write");
    });
}

#[test]
fn what_a_plugin_does_not_have_is_answered_as_in_deployed_hosts() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::fd_read(caller, 0, 0, 0, 0).unwrap(), 52);
        assert_eq!(entry::fd_pread(caller, 0, 0, 0, 0, 0).unwrap(), 52);
        assert_eq!(entry::fd_fdstat_set_flags(caller, 1, 0).unwrap(), 52);
        assert_eq!(entry::fd_prestat_dir_name(caller, 3, 0, 0).unwrap(), 52);
        assert_eq!(entry::fd_readdir(caller, 3, 0, 0, 0, 0).unwrap(), 54);
        assert_eq!(entry::path_open(caller, 3, 0, 0, 0, 0, 0, 0, 0, 0).unwrap(), 44);
        assert_eq!(entry::path_filestat_get(caller, 3, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::path_create_directory(caller, 3, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::path_link(caller, 3, 0, 0, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::path_rename(caller, 3, 0, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::path_readlink(caller, 3, 0, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::sock_accept(caller, 3, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::sock_recv(caller, 3, 0, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::sock_send(caller, 3, 0, 0, 0, 0).unwrap(), NOTSUP);
        assert_eq!(entry::sock_shutdown(caller, 3, 0).unwrap(), NOTSUP);
    });
}

#[test]
fn the_environment_is_that_of_the_vm() {
    let mut setup = Setup::new();
    setup.config.vm.environment = vec![("K".into(), "v".into()), ("EMPTY".into(), String::new())];
    setup.during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::environ_sizes_get(caller, 16, 20).unwrap(), 0);
        assert_eq!((caller.word(16), caller.word(20)), (2, 11));
        assert_eq!(entry::environ_get(caller, 32, 64).unwrap(), 0);
        assert_eq!((caller.word(32), caller.word(36)), (64, 68));
        assert_eq!(&caller.split().0[64..75], b"K=v\0EMPTY=\0");
        assert_eq!(entry::environ_get(caller, 32, -1).unwrap(), FAULT);
        assert_eq!(entry::environ_get(caller, (1 << 20) - 4, 64).unwrap(), FAULT, "room for one pointer of two");
        assert_eq!(entry::environ_get(caller, 32, (1 << 20) - 10).unwrap(), FAULT);
    });
}

/// A subscription as wasi-libc lays it out.
fn subscription(user_data: u64, tag: u8, fd_or_clock: u32) -> Vec<u8> {
    let mut bytes = [&user_data.to_le_bytes()[..], &[tag], &[0; 7], &fd_or_clock.to_le_bytes()].concat();
    bytes.resize(48, 0);
    bytes
}

fn poll(caller: &mut NullCaller<'_>, subscriptions: &[Vec<u8>]) -> Vec<(u64, u16, u8, u64, u16)> {
    let (at, _) = caller.put(&subscriptions.concat());
    let count = i32::try_from(subscriptions.len()).unwrap();
    assert_eq!(entry::poll_oneoff(caller, at, 1 << 16, count, 64).unwrap(), 0);
    let told = caller.word(64) as usize;
    let events = &caller.split().0[1 << 16..][..told * 32];
    events
        .as_chunks::<32>()
        .0
        .iter()
        .map(|event| {
            let number = |from: usize, len: usize| {
                event[from..from + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
            };
            let short = |from| u16::try_from(number(from, 2)).unwrap();
            (number(0, 8), short(8), event[10], number(16, 8), short(24))
        })
        .collect()
}

#[test]
fn a_sleep_is_over_at_once_and_what_is_ready_is_told() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(poll(caller, &[subscription(u64::MAX, 0, 1)]), [(u64::MAX, 0, 0, 0, 0)]);
        let both = [subscription(1, 0, 1), subscription(2, 2, 1)];
        assert_eq!(poll(caller, &both), [(2, 0, 2, 65_536, 0)], "no time has passed when something is ready");
        let others = [subscription(3, 1, 0), subscription(4, 1, 1), subscription(5, 2, 3), subscription(6, 9, 0)];
        assert_eq!(poll(caller, &others), [(3, 0, 1, 0, 1), (4, 8, 1, 0, 0), (5, 8, 2, 0, 0), (6, 28, 9, 0, 0)]);
        for count in [0, 1025, -1] {
            assert_eq!(entry::poll_oneoff(caller, 0, 0, count, 64).unwrap(), INVAL, "{count}");
        }
        assert_eq!(entry::poll_oneoff(caller, -48, 0, 1, 64).unwrap(), FAULT);
        assert_eq!(entry::poll_oneoff(caller, 0, -32, 1, 64).unwrap(), FAULT);
        assert_eq!(entry::poll_oneoff(caller, 0, 0, 1, -1).unwrap(), FAULT);
    });
}

#[test]
fn there_are_no_arguments() {
    during(CallbackId::on_tick, |caller| {
        caller.split().0[16..24].fill(0xff);
        assert_eq!(entry::args_sizes_get(caller, 16, 20).unwrap(), 0);
        assert_eq!((caller.word(16), caller.word(20)), (0, 0));
        assert_eq!(entry::args_get(caller, -1, -1).unwrap(), 0, "nothing is written");
        assert_eq!(entry::environ_get(caller, -1, -1).unwrap(), 0, "without an environment, neither");
    });
}

#[test]
fn there_are_two_clocks() {
    let setup = Setup::new();
    setup.host.set_time(7);
    setup.during(CallbackId::on_tick, |caller| {
        for (clock, errno) in [(0, 0), (1, 0), (2, NOTSUP), (-1, NOTSUP)] {
            assert_eq!(entry::clock_time_get(caller, clock, 1000, 16).unwrap(), errno);
            assert_eq!(entry::clock_res_get(caller, clock, 24).unwrap(), errno);
        }
        assert_eq!([16, 20, 24, 28].map(|at| caller.word(at)), [7, 0, 1, 0]);
        assert_eq!(entry::clock_time_get(caller, 0, 0, -4).unwrap(), FAULT);
        assert_eq!(entry::clock_res_get(caller, 0, -4).unwrap(), FAULT);
    });
}

#[test]
fn randomness_comes_by_64_kib_at_most() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::random_get(caller, 17, 3).unwrap(), 0);
        assert_eq!(caller.split().0[16..21], [0, 1, 2, 3, 0]);
        assert_eq!(entry::random_get(caller, 0, 65_536).unwrap(), 0);
        assert_eq!(entry::random_get(caller, 0, 65_537).unwrap(), INVAL);
        assert_eq!(entry::random_get(caller, 0, -1).unwrap(), INVAL);
        assert_eq!(entry::random_get(caller, -1, 0).unwrap(), 0, "length 0 excuses this pointer");
        assert_eq!(entry::random_get(caller, -1, 1).unwrap(), FAULT);
    });
}

/// A plugin that goes on with bytes that are no secret is worse than one that ends.
#[test]
fn without_randomness_the_vm_ends_and_says_why() {
    type Call = fn(&mut NullCaller<'_>) -> Result<(), Trap>;
    let calls: [(&str, Call); 2] = [
        ("random_get", |caller| entry::random_get(caller, 16, 4).map(drop)),
        ("seed", |caller| entry::seed(caller).map(drop)),
    ];
    for (name, call) in calls {
        for callback in [CallbackId::on_vm_start, CallbackId::on_tick] {
            let setup = Setup::new();
            setup.host.exhaust_randomness();
            let reason = format!("the plugin called {name}, but the system has no random bytes: none in this test");
            let setup = setup.try_on(callback, move |caller, _| call(caller).map(|()| 1));
            match callback {
                CallbackId::on_vm_start => {
                    let (vm, plugin, ..) = setup.vm();
                    let error = vm.unwrap().add_plugin(plugin.into()).unwrap_err().to_string();
                    assert!(error.contains(&reason), "{error}");
                }
                _ => {
                    let mut started = setup.start();
                    assert!(started.vm.on_tick(started.root).is_err());
                    assert_eq!(started.vm.failure(), Some(&*reason));
                }
            }
        }
    }
}

#[test]
fn emscripten_and_assemblyscript_get_what_they_import() {
    let setup = Setup::new();
    setup.host.set_time(1_500_000_000);
    let started = setup.during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::sched_yield(caller).unwrap(), 0);
        assert_eq!((entry::pthread_equal(caller, 3, 3).unwrap(), entry::pthread_equal(caller, 3, 4).unwrap()), (1, 0));
        entry::emscripten_notify_memory_growth(caller, 0).unwrap();
        assert!((entry::now(caller).unwrap() - 1500.0).abs() < f64::EPSILON);
        assert!(entry::seed(caller).unwrap() > 0.0);
        let (text, _) = caller.put(b"\x04\0\0\0h\0i\0");
        entry::trace(caller, text + 4, 2, 1.5, 2.0, 3.0, 4.0, 5.0).unwrap();
        entry::trace(caller, -1, -1, 0.0, 0.0, 0.0, 0.0, 0.0).unwrap();
    });
    assert_eq!(started.host.messages(), ["hi 1.5 2", ""]);
}
