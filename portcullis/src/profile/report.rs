use std::collections::{BTreeMap, BTreeSet};

use portcullis_core::abi::{HostcallId, Status};
use portcullis_core::observe::{profile::HostcallTime, profile::PluginProfile, profile::Profile, profile::Time};
use serde::Serialize;

use super::{FORMAT, Key};

/// All measurements: `profile.json`. Shown as text, it is `profile.txt`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of the format.
    pub profile: u32,
    /// The version of this crate.
    pub portcullis: &'static str,
    /// The unit of the numbers.
    pub units: Units,
    /// How long it was measured.
    pub elapsed: u64,
    /// The threads that have VMs.
    pub threads: Vec<String>,
    /// The plugins, those that took most time first.
    pub plugins: Vec<PluginReport>,
}

/// The unit of the numbers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Units {
    time: &'static str,
    size: &'static str,
}

/// The calls of one plugin, on all threads.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PluginReport {
    /// The name of its VM.
    pub vm: String,
    /// The engine of its VM.
    pub engine: &'static str,
    /// Its name; `None` is the VM itself, before any plugin exists.
    pub plugin: Option<String>,
    /// How many threads have it.
    pub threads: usize,
    /// The sum of all own times.
    pub time: u64,
    /// Its own code.
    pub guest: Vec<GuestRow>,
    /// The hostcalls that it made.
    pub hostcalls: Vec<HostcallRow>,
}

/// A callback, or another part of a plugin that its host runs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct GuestRow {
    /// Its name.
    pub name: String,
    /// How often and how long it ran.
    #[serde(flatten, serialize_with = "times")]
    pub time: Time,
}

/// A hostcall.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HostcallRow {
    /// Its name.
    pub name: &'static str,
    /// How often and how long it ran.
    #[serde(flatten, serialize_with = "times")]
    pub time: Time,
    /// Bytes that went into the plugin's memory.
    pub bytes_in: u64,
    /// Bytes that came out of it.
    pub bytes_out: u64,
    /// How often it failed, by the name of the status.
    pub failures: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn of<'a>(profiles: impl Iterator<Item = (&'a Key, Profile)>, elapsed: u64) -> Self {
        let mut threads = BTreeSet::new();
        let mut vms: BTreeMap<(&str, &'static str), (Profile, usize)> = BTreeMap::new();
        for (key, profile) in profiles {
            threads.insert(key.thread.clone());
            let (sum, count) = vms.entry((&key.vm, key.engine)).or_default();
            sum.merge(&profile);
            *count += 1;
        }
        let plugins = vms.iter().flat_map(|((vm, engine), (profile, threads))| {
            profile.plugins().iter().map(|plugin| PluginReport::of(vm, engine, *threads, plugin))
        });
        let mut plugins: Vec<_> = plugins.collect();
        plugins.sort_by_key(|plugin| std::cmp::Reverse(plugin.time));
        let (threads, units) = (threads.into_iter().collect(), Units { time: "ns", size: "bytes" });
        Self { profile: FORMAT, portcullis: env!("CARGO_PKG_VERSION"), units, elapsed, threads, plugins }
    }
}

impl PluginReport {
    fn of(vm: &str, engine: &'static str, threads: usize, profile: &PluginProfile) -> Self {
        let parts = profile.parts().map(|(part, time)| GuestRow { name: part.to_string(), time: time.clone() });
        let mut guest: Vec<_> = parts.collect();
        let mut hostcalls: Vec<_> = profile.hostcalls().map(|(id, time)| HostcallRow::of(id, time)).collect();
        guest.sort_by_key(|row| std::cmp::Reverse(row.time.own));
        hostcalls.sort_by_key(|row| std::cmp::Reverse(row.time.own));
        let own = guest.iter().map(|row| row.time.own).chain(hostcalls.iter().map(|row| row.time.own));
        let time = own.fold(0, u64::saturating_add);
        Self { vm: vm.to_owned(), engine, plugin: profile.plugin.clone(), threads, time, guest, hostcalls }
    }
}

impl HostcallRow {
    fn of(id: HostcallId, hostcall: &HostcallTime) -> Self {
        Self {
            name: id.decl().name,
            time: hostcall.time.clone(),
            bytes_in: hostcall.bytes_in,
            bytes_out: hostcall.bytes_out,
            failures: hostcall.failures.iter().map(|(number, count)| (status(id, *number), *count)).collect(),
        }
    }
}

/// Returns the status of a hostcall by its name in the ABI; of WASI by its number.
fn status(id: HostcallId, number: i32) -> String {
    match Status::from_number(number) {
        Some(status) if !id.is_wasi() => format!("{status:?}"),
        _ => format!("errno {number}"),
    }
}

/// Serializes the fields of a time beside those of the struct that contains it.
fn times<S: serde::Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    let Time { calls, total, own, max, traps, .. } = *time;
    Serialize::serialize(
        &BTreeMap::from([("calls", calls), ("total", total), ("own", own), ("max", max), ("traps", traps)]),
        serializer,
    )
}
