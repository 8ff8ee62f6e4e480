//! Shared data and queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Setup, Started, during};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::Limits;
use portcullis_core::resources::{Shared, Wake};
use portcullis_core::testing::NullCaller;

fn set(caller: &mut NullCaller<'_>, key: &[u8], value: &[u8], cas: i32) -> i32 {
    let ((key, key_len), (value, value_len)) = (caller.put(key), caller.put(value));
    entry::proxy_set_shared_data(caller, key, key_len, value, value_len, cas).unwrap()
}

/// The value and its version.
fn get(caller: &mut NullCaller<'_>, key: &[u8]) -> Result<(Vec<u8>, u32), i32> {
    let (key, len) = caller.put(key);
    let value = caller
        .bytes(|caller, ret_ptr, ret_len| entry::proxy_get_shared_data(caller, key, len, ret_ptr, ret_len, 24))?;
    Ok((value, caller.word(24)))
}

fn register(caller: &mut NullCaller<'_>, name: &[u8]) -> Result<i32, i32> {
    let (name, len) = caller.put(name);
    match entry::proxy_register_shared_queue(caller, name, len, 16).unwrap() {
        0 => Ok(caller.word(16).cast_signed()),
        status => Err(status),
    }
}

fn resolve(caller: &mut NullCaller<'_>, vm_id: &[u8], name: &[u8]) -> Result<i32, i32> {
    let ((vm_id, vm_id_len), (name, name_len)) = (caller.put(vm_id), caller.put(name));
    match entry::proxy_resolve_shared_queue(caller, vm_id, vm_id_len, name, name_len, 16).unwrap() {
        0 => Ok(caller.word(16).cast_signed()),
        status => Err(status),
    }
}

fn enqueue(caller: &mut NullCaller<'_>, queue: i32, item: &[u8]) -> i32 {
    let (item, len) = caller.put(item);
    entry::proxy_enqueue_shared_queue(caller, queue, item, len).unwrap()
}

fn dequeue(caller: &mut NullCaller<'_>, queue: i32) -> Result<Vec<u8>, i32> {
    caller.bytes(|caller, ret_ptr, ret_len| entry::proxy_dequeue_shared_queue(caller, queue, ret_ptr, ret_len))
}

/// A VM of an id that does this when it ticks.
fn vm(shared: &Shared, vm_id: &str, tick: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
    let mut tick = tick;
    let mut setup = Setup::new().on(CallbackId::on_tick, move |caller, _| {
        tick(caller);
        0
    });
    (setup.config.shared, setup.config.vm_id) = (shared.clone(), vm_id.to_owned());
    setup.start()
}

fn tick(started: &mut Started) {
    let root = started.root;
    started.vm.on_tick(root).unwrap();
}

#[test]
fn a_value_comes_back_with_its_version() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(get(caller, b"k"), Err(1));
        assert_eq!(set(caller, b"k", b"one", 0), 0);
        let (value, cas) = get(caller, b"k").unwrap();
        assert_eq!(value, b"one");
        assert_ne!(cas, 0);
        assert_eq!(set(caller, b"k", b"two", cas.cast_signed() + 1), 8);
        assert_eq!(set(caller, b"k", b"", cas.cast_signed()), 0);
        assert_eq!(get(caller, b"k"), Ok((Vec::new(), cas + 1)));
        assert_eq!(set(caller, b"absent", b"", 77), 0, "a version of a key that there is not");
    });
}

#[test]
fn bad_pointers_are_answered() {
    during(CallbackId::on_tick, |caller| {
        let (key, len) = caller.put(b"k");
        assert_eq!(set(caller, b"k", b"v", 0), 0);
        assert_eq!(entry::proxy_get_shared_data(caller, -1, 1, 16, 20, 24).unwrap(), 6);
        assert_eq!(entry::proxy_get_shared_data(caller, key, len, 16, 20, -1).unwrap(), 6);
        assert_eq!(entry::proxy_set_shared_data(caller, key, len, -1, 1, 0).unwrap(), 6);
        assert_eq!(entry::proxy_register_shared_queue(caller, key, len, -1).unwrap(), 6);
        assert_eq!(entry::proxy_resolve_shared_queue(caller, 0, 0, key, len, -1).unwrap(), 6);
        assert_eq!(entry::proxy_enqueue_shared_queue(caller, 1, -1, 1).unwrap(), 6);
        let queue = register(caller, b"q").unwrap();
        assert_eq!(enqueue(caller, queue, b"item"), 0);
        assert_eq!(entry::proxy_dequeue_shared_queue(caller, queue, -1, 20).unwrap(), 6);
        assert_eq!(dequeue(caller, queue), Ok(b"item".to_vec()), "nothing was lost");
    });
}

#[test]
fn what_is_full_says_so() {
    const KEY: usize = Limits::ENTRY_COST;
    let mut setup = Setup::new().on(CallbackId::on_tick, |caller, _| {
        let queue = register(caller, b"q").unwrap();
        assert_eq!(register(caller, b"r"), Err(10));
        let long = vec![0; KEY + 13];
        assert_eq!((set(caller, b"k", &long, 0), set(caller, b"k", b"1234567", 0)), (10, 0));
        assert_eq!((enqueue(caller, queue, b"12345"), enqueue(caller, queue, b"1234")), (10, 0));
        assert_eq!((enqueue(caller, queue, b""), set(caller, b"", b"", 0)), (10, 10));
        assert_eq!(dequeue(caller, queue), Ok(b"1234".to_vec()));
        assert_eq!(set(caller, b"l", b"123", 0), 0, "what is gone makes room");
        let long = vec![b'k'; Limits::LONGEST_KEY + 1];
        assert_eq!((set(caller, &long, b"", 0), register(caller, &long)), (10, Err(10)));
        0
    });
    setup.config.vm.limits.shared = Limits::NAME_COST + 1 + KEY + 8 + KEY + 4;
    let mut guest = setup.start();
    tick(&mut guest);
    let said: Vec<_> = guest.host.messages();
    assert!(said.iter().any(|line| line.starts_with("limits.shared is used up: ")), "{said:?}");
}

#[test]
fn vms_of_one_id_share_and_others_do_not() {
    let shared = Shared::default();
    let mut writer = vm(&shared, "a", |caller| assert_eq!(set(caller, b"k", b"v", 0), 0));
    let mut same = vm(&shared, "a", |caller| assert!(get(caller, b"k").is_ok()));
    let mut other = vm(&shared, "b", |caller| assert_eq!(get(caller, b"k"), Err(1)));
    tick(&mut writer);
    tick(&mut same);
    tick(&mut other);
}

#[test]
fn a_queue_keeps_order_and_tells_its_owner_of_each_item() {
    let shared = Shared::default();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let mut expected = vec![Vec::new(), b"first".to_vec()];
    let mut setup = Setup::new()
        .on(CallbackId::on_tick, |caller, _| {
            let queue = register(caller, b"q").unwrap();
            assert_eq!(register(caller, b"q"), Ok(queue));
            assert_eq!(dequeue(caller, queue), Err(7));
            0
        })
        .on(CallbackId::on_queue_ready, move |caller, args| {
            assert_eq!(dequeue(caller, args[1]).ok(), expected.pop());
            0
        });
    (setup.config.shared, setup.config.vm_id) = (shared.clone(), "owner".to_owned());
    setup.config.wake = Some(Wake::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    let mut owner = setup.start();
    tick(&mut owner);
    let mut writer = vm(&shared, "writer", |caller| {
        let queue = resolve(caller, b"owner", b"q").unwrap();
        assert_eq!((enqueue(caller, queue, b"first"), enqueue(caller, queue, b"")), (0, 0));
    });
    tick(&mut writer);
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    assert_eq!(owner.called(CallbackId::on_queue_ready), 0, "nothing is called from another VM");
    assert_eq!([(); 3].map(|()| owner.vm.on_queue_ready()), [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(owner.called(CallbackId::on_queue_ready), 2);
}

#[test]
fn the_last_to_register_is_told() {
    let shared = Shared::default();
    let register_it = |caller: &mut NullCaller<'_>| assert!(register(caller, b"q").is_ok());
    let (mut first, mut second) = (vm(&shared, "a", register_it), vm(&shared, "a", register_it));
    tick(&mut first);
    tick(&mut second);
    let mut writer = vm(&shared, "a", |caller| {
        let queue = resolve(caller, b"", b"q").unwrap();
        assert_eq!(enqueue(caller, queue, b"1"), 0);
    });
    tick(&mut writer);
    assert_eq!((first.vm.on_queue_ready(), second.vm.on_queue_ready()), (Ok(false), Ok(true)));
}

#[test]
fn a_guessed_queue_is_not_found() {
    let shared = Shared::default();
    let mut owner = vm(&shared, "owner", |caller| {
        let queue = register(caller, b"q").unwrap();
        assert_eq!((queue, enqueue(caller, queue, b"secret")), (1, 0));
    });
    tick(&mut owner);
    let mut thief = vm(&shared, "thief", |caller| {
        assert_eq!((dequeue(caller, 1), enqueue(caller, 1, b"")), (Err(1), 1));
        assert_eq!((resolve(caller, b"owner", b"other"), resolve(caller, b"nobody", b"q")), (Err(1), Err(1)));
        assert_eq!((dequeue(caller, 0), dequeue(caller, -1)), (Err(1), Err(1)));
        // Who knows the name may.
        let queue = resolve(caller, b"owner", b"q").unwrap();
        assert_eq!(dequeue(caller, queue), Ok(b"secret".to_vec()));
    });
    tick(&mut thief);
}

#[test]
fn what_a_flood_of_queues_takes_is_the_budget() {
    // 64 queues, 16 MiB for each.
    let mut guest = vm(&Shared::default(), "", |caller| {
        let item = caller.put(&[0; 1 << 10]);
        let mut bytes = 0;
        for name in 0..64_u8 {
            let Ok(queue) = register(caller, &[name]) else { continue };
            for _ in 0..(16 << 20) / (1 << 10) {
                let status = entry::proxy_enqueue_shared_queue(caller, queue, item.0, item.1).unwrap();
                assert!(status == 0 || status == 10);
                bytes += if status == 0 { 1 << 10 } else { 0 };
            }
        }
        let most = Limits::default().shared;
        assert!(bytes < most && bytes > most / 10 * 8, "{bytes}");
    });
    tick(&mut guest);
}
