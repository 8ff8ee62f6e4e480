use std::collections::BTreeMap;
use std::fmt;

use crate::abi::callback::{CALLBACKS, CallbackId};
use crate::abi::hostcall::{HOSTCALLS, HostcallId};
use crate::model::plugin::Plugin;

/// The times of VMs, for each of their plugins.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    plugins: Vec<PluginProfile>,
}

/// The times of a plugin.
#[derive(Clone, Debug)]
pub struct PluginProfile {
    /// Its name; `None` is the VM itself, before any plugin exists.
    pub plugin: Option<String>,
    instantiation: Time,
    callbacks: Vec<Time>,
    allocator: Time,
    hostcalls: Vec<HostcallTime>,
}

/// A part of a guest that its host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Making the guest, and its start section.
    Instantiation,
    /// A callback.
    Callback(CallbackId),
    /// The guest's allocator, which a hostcall runs when it hands over bytes.
    Allocator,
}

/// How often something ran, and how long it took, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Time {
    /// How often it ran.
    pub calls: u64,
    /// How long it took, all calls together.
    pub total: u64,
    /// How long, without what ran within: hostcalls in a callback, the allocator in a hostcall.
    pub own: u64,
    /// The longest call, with what ran within.
    pub max: u64,
    /// How many calls ended the plugin by a trap.
    pub traps: u64,
}

/// How often a hostcall ran, and what it moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostcallTime {
    /// How often, and how long.
    pub time: Time,
    /// Bytes of guest memory that it was given to write to: results, with their addresses and lengths.
    pub bytes_in: u64,
    /// Bytes of guest memory that it read.
    pub bytes_out: u64,
    /// How often it failed, by the number of the status (or WASI's errno) that it answered.
    pub failures: BTreeMap<i32, u64>,
}

impl Profile {
    /// Returns the table of each plugin.
    pub fn plugins(&self) -> &[PluginProfile] {
        &self.plugins
    }

    /// Adds what another profile has.
    pub fn merge(&mut self, other: &Self) {
        for plugin in &other.plugins {
            self.named(plugin.plugin.as_deref()).merge(plugin);
        }
    }

    /// Returns the times of the plugin that runs now.
    pub(super) fn of(&mut self, plugin: Option<&Plugin>) -> &mut PluginProfile {
        self.named(plugin.map(|plugin| plugin.name.as_str()))
    }

    #[expect(clippy::indexing_slicing, reason = "the index was found, or pushed, right here")]
    fn named(&mut self, name: Option<&str>) -> &mut PluginProfile {
        let known = self.plugins.iter().position(|known| known.plugin.as_deref() == name);
        let index = known.unwrap_or_else(|| {
            self.plugins.push(PluginProfile::new(name));
            self.plugins.len() - 1
        });
        &mut self.plugins[index]
    }
}

impl PluginProfile {
    fn new(name: Option<&str>) -> Self {
        Self {
            plugin: name.map(ToOwned::to_owned),
            instantiation: Time::default(),
            callbacks: vec![Time::default(); CALLBACKS.len()],
            allocator: Time::default(),
            hostcalls: vec![HostcallTime::default(); HOSTCALLS.len()],
        }
    }

    /// Returns the parts of its code that ran.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &Time)> {
        let callbacks = CALLBACKS.iter().map(|decl| Part::Callback(decl.id)).zip(&self.callbacks);
        let others = [(Part::Instantiation, &self.instantiation), (Part::Allocator, &self.allocator)];
        callbacks.chain(others).filter(|(_, time)| time.calls > 0)
    }

    /// Returns the hostcalls that it made.
    pub fn hostcalls(&self) -> impl Iterator<Item = (HostcallId, &HostcallTime)> {
        let all = HOSTCALLS.iter().map(|decl| decl.id).zip(&self.hostcalls);
        all.filter(|(_, hostcall)| hostcall.time.calls > 0)
    }

    pub(super) fn part(&mut self, part: Part) -> Option<&mut Time> {
        match part {
            Part::Instantiation => Some(&mut self.instantiation),
            Part::Callback(id) => self.callbacks.get_mut(id as usize),
            Part::Allocator => Some(&mut self.allocator),
        }
    }

    pub(super) fn hostcall(&mut self, id: HostcallId) -> Option<&mut HostcallTime> {
        self.hostcalls.get_mut(id as usize)
    }

    fn merge(&mut self, other: &Self) {
        for (part, time) in other.parts() {
            if let Some(own) = self.part(part) {
                own.add(time);
            }
        }
        for (id, hostcall) in other.hostcalls() {
            if let Some(own) = self.hostcall(id) {
                own.add(hostcall);
            }
        }
    }
}

impl Time {
    /// Adds other calls.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.total = self.total.saturating_add(other.total);
        self.own = self.own.saturating_add(other.own);
        self.max = self.max.max(other.max);
        self.traps = self.traps.saturating_add(other.traps);
    }
}

impl HostcallTime {
    /// Adds other calls.
    pub fn add(&mut self, other: &Self) {
        self.time.add(&other.time);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        for (status, count) in &other.failures {
            let own = self.failures.entry(*status).or_default();
            *own = own.saturating_add(*count);
        }
    }
}

/// Its name in tables: that of a callback is the ABI's.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instantiation => f.write_str("(instantiation)"),
            Self::Callback(id) => id.fmt(f),
            Self::Allocator => f.write_str("(allocator)"),
        }
    }
}
