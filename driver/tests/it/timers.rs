use std::time::Duration;

use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::sandbox::Recycle;
use portcullis_core::testing::{FakeHost, Script};
use tokio::task::LocalSet;

use crate::common::{builder, open, recycling_builder};

/// Ticks every 100 ms; enqueues an item into its own queue at every tick.
fn ticking() -> Script {
    Script::new()
        .on(CallbackId::on_configure, |caller, _| {
            entry::proxy_set_tick_period_milliseconds(caller, 100).unwrap();
            let ((name, len), (id, _)) = (caller.put(b"items"), caller.put(&[0; 4]));
            i32::from(entry::proxy_register_shared_queue(caller, name, len, id).unwrap() == 0)
        })
        .on(CallbackId::on_tick, |caller, _| {
            caller.log("tick");
            let ((name, len), (id, _)) = (caller.put(b"items"), caller.put(&[0; 4]));
            entry::proxy_register_shared_queue(caller, name, len, id).unwrap();
            let (id, (item, len)) = (caller.word(id).cast_signed(), caller.put(b"item"));
            entry::proxy_enqueue_shared_queue(caller, id, item, len).unwrap()
        })
        .on(CallbackId::on_queue_ready, |caller, _| {
            caller.log("queue");
            0
        })
        .on(CallbackId::on_done, |caller, _| {
            caller.log("done");
            1
        })
}

#[test]
fn plugins_are_ticked_and_told_of_queues_until_they_end() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let host = FakeHost::new();
        let (builder, _chain) = builder(&host, ticking);
        let driver = builder.build();
        tokio::task::spawn_local(driver.clone().run());
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            host.advance(10_000_000);
        }
        let messages = host.messages();
        let (ticks, queues) = (count(&messages, "tick"), count(&messages, "queue"));
        assert!((8..=10).contains(&ticks), "{messages:?}");
        assert!(queues >= ticks - 1, "{messages:?}");
        assert!(driver.shut_down(Duration::from_secs(1)).await);
        assert_eq!(count(&host.messages(), "done"), 1);
        let ended = host.messages().len();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(host.messages().len(), ended, "a plugin that has ended is not ticked");
    });
}

fn count(messages: &[String], text: &str) -> usize {
    messages.iter().filter(|message| *message == text).count()
}

/// Grows to 3 MiB in each request.
fn growing() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        assert!(caller.grow_to(3 << 20));
        0
    })
}

#[test]
fn a_vm_is_recycled_by_its_age_and_by_its_memory_though_no_plugin_ticks() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let host = FakeHost::new();
        let recycle = Recycle::default().with_age(Duration::from_secs(60)).with_memory(2 << 20);
        let (builder, chain) = recycling_builder(&host, growing, recycle);
        let driver = builder.build();
        tokio::task::spawn_local(driver.clone().run());
        let recycled = || count_of(&host.messages(), "its VM was recycled");
        let pass = async |seconds: u64| {
            for _ in 0..seconds {
                host.advance(1_000_000_000);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        pass(59).await;
        assert_eq!(recycled(), 0);
        pass(2).await;
        assert_eq!(recycled(), 1, "{:?}", host.messages());
        pass(5).await;
        let stream = open(&driver, &chain, "/");
        driver.finish(stream);
        assert_eq!(driver.with(|worker| worker.memory_size()), 3 << 20);
        pass(1).await;
        assert_eq!((recycled(), driver.with(|worker| worker.memory_size())), (2, 1 << 20));
    });
}

fn count_of(messages: &[String], text: &str) -> usize {
    messages.iter().filter(|message| message.contains(text)).count()
}
