//! `recycle`: when another VM takes the place of one that works.

use portcullis::sandbox::Recycle;

use crate::reader::{Key, Mapping, Read, Section, Type, Value, duration, size};

/// Reads `recycle`.
pub(super) fn read(value: &Value<'_>) -> Read<Recycle> {
    let mapping = value.mapping(&RECYCLE)?;
    let memory = mapping.optional(MEMORY, |size| size::between(size, MEMORY.range()));
    let age = mapping.optional(AGE, |age| duration::between(age, &AGE.range()));
    let streams = mapping.optional(STREAMS, |streams| streams.integer(STREAMS.range()));
    let linger = mapping.or(LINGER, Recycle::default().linger, |linger| duration::between(linger, &LINGER.range()));
    let recycle = Recycle::default().with_memory(memory?).with_age(age?).with_streams(streams?).with_linger(linger?);
    if !recycle.is_bounded() {
        value.notice("recycle has no bound, so no VM is recycled", "add memory, age or streams, or remove the key");
    }
    Ok(recycle)
}

/// Checks that a VM passes its bound of memory before it fails at its limit.
pub(super) fn check_memory(vm: &Mapping<'_>, recycle: &Recycle, limit: usize) -> Read<()> {
    let place = vm.get(RECYCLE_KEY).and_then(|recycle| recycle.member(MEMORY.name));
    match (recycle.memory, place) {
        (Some(memory), Some(place)) if memory >= limit => Err(place.fail(
            format!("recycle.memory ({memory} bytes) is not below limits.memory ({limit} bytes): no VM would be recycled for its memory"),
            "write a smaller one, or raise limits.memory",
        )),
        _ => Ok(()),
    }
}

const DAY: u64 = 24 * 3600;

pub(super) const RECYCLE_KEY: Key = Key::new(
    "recycle",
    Type::Section(&RECYCLE),
    "When another VM takes the place of one that works, as memory grows and never shrinks. Not with `isolation: stream`.",
);

// A page of memory to less than all that 32 bits address.
const MEMORY: Key = Key::new(
    "memory",
    Type::Size(64 << 10, (4 << 30) - (1 << 20)),
    "Bytes of linear memory, fewer than `limits.memory`; a VM with more is replaced.",
)
.computed("no bound");
const AGE: Key = Key::new(
    "age",
    Type::Seconds(1, 365 * DAY),
    "The time since its start after which a VM is replaced, less a part of up to 10 % that is drawn for each VM.",
)
.computed("no bound");
const STREAMS: Key = Key::new(
    "streams",
    Type::Integer(1, 1_000_000_000_000),
    "Requests and connections that begin in a VM before it is replaced.",
)
.computed("no bound");
const LINGER: Key = Key::new(
    "linger",
    Type::Seconds(1, DAY),
    "How long the streams of a VM that was replaced go on in it; those that are left then are answered by `failure_policy`.",
)
.default("10m");

pub(super) static RECYCLE: Section = Section::new(
    "recycle",
    "vm_config.recycle",
    "The bounds of a VM's life. Past one, another VM gets new streams, ticks and items of queues.",
    &[MEMORY, AGE, STREAMS, LINGER],
)
.page("memory.md");
