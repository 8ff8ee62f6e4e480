//! Judges arguments of hostcalls by the rules of a plugin. A plugin without rules for it pays one
//! look at its rules; one with rules pays no allocation, but for a map that is set whole.

use std::collections::{HashMap, HashSet};

use crate::abi::hostcall::HostcallId;
use crate::abi::{MapType, MetricType, Status};
use crate::hostcall::{Failure, Unseen, growth, nominated};
use crate::model::authority;
use crate::model::headers::Headers;
use crate::model::limits::Limits;
use crate::model::resource_metadata;
use crate::resources::shared::Queue;
use crate::rights::rate::Permit;
use crate::rights::{Family, Key, Likeness, Rule};
use crate::vm::state::{UsedUp, VmState};

/// A callout that is about to be made.
pub(super) struct Callout<'a> {
    pub(super) family: Family,
    pub(super) id: HostcallId,
    pub(super) upstream: &'a str,
}

/// Fields that tell many servers another method than that of the request.
const OVERRIDES: [&[u8]; 3] = [b"x-http-method-override", b"x-http-method", b"x-method-override"];

impl Callout<'_> {
    /// Judges the upstream, before anything else is said about it.
    pub(super) fn upstream(&self, vm: &mut VmState) -> Result<(), Failure> {
        argument(vm, self.family, self.id, Key::Upstreams, "upstreams", self.upstream.as_bytes())
    }

    /// Judges method, path, authorities and fields of an HTTP request: each that its headers name.
    pub(super) fn head(&self, vm: &mut VmState, headers: &Headers) -> Result<(), Failure> {
        let Some(rule) = vm.rule(self.family) else { return Ok(()) };
        let refused = headers.iter().find_map(|(name, value)| match name {
            b":method" => (!rule.allows(Key::Methods, value)).then_some(("methods", value)),
            b":path" => (!rule.allows_path(value)).then_some(("paths", value)),
            b":authority" | b"host" => (!rule.allows(Key::Authorities, value)).then_some(("authorities", value)),
            _ if !name.starts_with(b":") && !rule.allows_field(name) => Some(("headers", name)),
            _ if OVERRIDES.iter().any(|known| Likeness::Header.same(known, name)) => {
                (!rule.allows(Key::Methods, value.trim_ascii())).then_some(("methods", value))
            }
            _ => None,
        });
        match refused {
            Some((key, value)) => Err(vm.refuse(self.id, key, Some(value))),
            None => Ok(()),
        }
    }

    /// Judges fields that a callout has elsewhere, by the key of their rule.
    pub(super) fn fields(&self, vm: &mut VmState, key: &'static str, fields: &Headers) -> Result<(), Failure> {
        let Some(rule) = vm.rule(self.family) else { return Ok(()) };
        match fields.iter().map(|(name, _)| name).find(|name| !rule.allows_field(name)) {
            Some(refused) => Err(vm.refuse(self.id, key, Some(refused))),
            None => Ok(()),
        }
    }

    /// Judges service and method of a gRPC request, and its authority; the name of the upstream, if it has none of its own.
    pub(super) fn method(&self, vm: &mut VmState, method: &[u8], authority: Option<&str>) -> Result<(), Failure> {
        argument(vm, self.family, self.id, Key::Methods, "methods", method)?;
        if authority.is_none() && vm.rule(self.family).is_none_or(|rule| rule.allows_as_authority(self.upstream)) {
            return Ok(());
        }
        let authority = authority.unwrap_or(self.upstream);
        argument(vm, self.family, self.id, Key::Authorities, "authorities", authority.as_bytes())
    }

    /// Judges how often and how many at once; returns a place that the callout takes until it ends.
    pub(super) fn place(&self, vm: &mut VmState) -> Result<Option<Permit>, Failure> {
        let Some(rule) = vm.rule(self.family) else { return Ok(None) };
        let place = match &rule.in_flight {
            None => None,
            Some(places) => match places.take() {
                None => return Err(vm.refuse(self.id, "in_flight", None)),
                place => place,
            },
        };
        rate(vm, self.family, self.id, 1)?;
        Ok(place)
    }
}

/// Judges a name that rules may list.
#[inline]
pub(super) fn argument(
    vm: &mut VmState,
    family: Family,
    id: HostcallId,
    key: Key,
    key_name: &'static str,
    argument: &[u8],
) -> Result<(), Failure> {
    if vm.rule(family).is_none_or(|rule| rule.allows(key, argument)) {
        return Ok(());
    }
    Err(vm.refuse(id, key_name, Some(argument)))
}

/// The series that a histogram is exposed as, besides its own name.
const SERIES: [&[u8]; 3] = [b"_bucket", b"_sum", b"_count"];

/// Judges the name of a metric, as it is exposed. A histogram is no way to a series that is taken away.
pub(super) fn metric(vm: &mut VmState, metric_type: MetricType, name: &[u8]) -> Result<(), Failure> {
    const ID: HostcallId = HostcallId::proxy_define_metric;
    argument(vm, Family::DefineMetric, ID, Key::Names, "names", name)?;
    if metric_type != MetricType::Histogram || vm.rule(Family::DefineMetric).is_none() {
        return Ok(());
    }
    // The reused buffer of replies: judging a call allocates nothing.
    let mut series = std::mem::take(&mut vm.reply);
    let taken = vm.rule(Family::DefineMetric).is_some_and(|rule| {
        SERIES.iter().any(|suffix| {
            series.clear();
            series.extend_from_slice(name);
            series.extend_from_slice(suffix);
            rule.takes_metric(&series)
        })
    });
    let refusal = taken.then(|| vm.refuse(ID, "names", Some(&series)));
    vm.reply = series;
    refusal.map_or(Ok(()), Err)
}

/// Judges the path of a property.
#[inline]
pub(super) fn property(vm: &mut VmState, path: &[u8]) -> Result<(), Failure> {
    // Metadata is a tree, in which what is taken away is gone with all below it, and from all above it.
    let is_hidden = |rule: &Rule| {
        resource_metadata::is_metadata(path)
            && (rule.takes_above(path) || rule.takes_below(path) && holds_parts(vm, path))
    };
    match vm.rule(Family::GetProperty) {
        Some(rule) if !rule.allows(Key::Paths, path) || is_hidden(rule) => {
            Err(vm.refuse(HostcallId::proxy_get_property, "paths", Some(path)))
        }
        _ => Ok(()),
    }
}

/// Returns whether a path of metadata is about something in which there is more.
fn holds_parts(vm: &VmState, path: &[u8]) -> bool {
    vm.acting_stream().is_some_and(|stream| stream.info.with(|info| resource_metadata::has_parts(info, path)))
}

/// Judges how often.
pub(super) fn rate(vm: &mut VmState, family: Family, id: HostcallId, count: u64) -> Result<(), Failure> {
    let Some(rate) = vm.rule(family).and_then(|rule| rule.rate.as_ref()) else { return Ok(()) };
    if rate.take(count, vm.host().monotonic_clock()) {
        return Ok(());
    }
    Err(vm.refuse(id, "rate", None))
}

/// Returns whether a header may be read. One that may not be is absent, and asking for it is told as a denial.
#[inline]
pub(super) fn may_read(vm: &mut VmState, map: MapType, name: &[u8]) -> Result<bool, Failure> {
    if vm.rule(Family::ReadHeaders).is_none_or(|rule| rule.allows_header(map, name)) {
        return Ok(true);
    }
    vm.deny(HostcallId::proxy_get_header_map_value, Some((map_name(map), Some(name))))?;
    Ok(false)
}

/// Returns whether a header may be written, and whatever it has removed.
#[inline]
pub(super) fn write(vm: &mut VmState, id: HostcallId, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Failure> {
    let Some(rule) = vm.rule(Family::WriteHeaders) else { return Ok(()) };
    let mut names = std::iter::once(name).chain(nominated::by(name, value));
    match names.find(|name| !rule.allows_header(map, name)) {
        Some(refused) => Err(vm.refuse(id, map_name(map), Some(refused))),
        None => Ok(()),
    }
}

/// Returns what a map becomes if a plugin sets it whole: what it may not read stays, and what it may not write
/// must be as it was. With it, what the plugin has added unseen.
pub(super) fn set_pairs(
    vm: &mut VmState,
    map: MapType,
    new: Headers,
) -> Result<(Headers, Option<Box<Unseen>>), Failure> {
    const ID: HostcallId = HostcallId::proxy_set_header_map_pairs;
    let (read, write) = (vm.rule(Family::ReadHeaders), vm.rule(Family::WriteHeaders));
    if read.is_none() && write.is_none() {
        return Ok((new, None));
    }
    let may_read = |name: &[u8]| read.is_none_or(|rule| rule.allows_header(map, name));
    let may_write = |name: &[u8]| write.is_none_or(|rule| rule.allows_header(map, name));
    let empty = Headers::new();
    let old = vm.map(map).unwrap_or(&empty);
    // What it may not write and sees; what it may not write and gives. What it does not see it may not even name, or it
    // could guess its value.
    let fixed = values(map, old.iter().filter(|(name, _)| !may_write(name) && may_read(name)));
    let given = values(map, new.iter().filter(|(name, _)| !may_write(name)));
    let mut names = fixed.keys().chain(given.keys()).copied();
    let changed = names.find(|name| fixed.get(name) != given.get(name));
    let mut removed = new.iter().flat_map(|(name, value)| nominated::by(name, value));
    if let Some(name) = changed.or_else(|| removed.find(|name| !may_write(name))).map(<[u8]>::to_vec) {
        return Err(vm.refuse(ID, map_name(map), Some(&name)));
    }
    let named: HashSet<&[u8]> = new.iter().map(|(name, _)| name).collect();
    let unseen = match read {
        None => None,
        Some(rule) => {
            let slot = vm.acting_stream().and_then(|stream| stream.slot(map));
            growth::check_whole(slot.and_then(|slot| slot.unseen.as_deref()), map, &new, rule, &named)?
        }
    };
    let is_named = |name: &[u8]| named.contains(authority::name(map, name));
    let mut merged = Headers::new();
    // What it may not read and has set anew, it may write, or it would have been refused.
    for (name, value) in old.iter().filter(|(name, _)| !may_read(name) && !is_named(name)).chain(new.iter()) {
        merged.add(name, value);
    }
    Ok((merged, unseen))
}

/// Returns the values of each name. A guest chooses names, so nothing is looked for one by one.
fn values<'a>(map: MapType, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HashMap<&'a [u8], Vec<&'a [u8]>> {
    let mut values: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    entries.for_each(|(name, value)| values.entry(authority::name(map, name)).or_default().push(value));
    values
}

/// Judges a queue, by its name and the id that it is registered under.
pub(super) fn queue(vm: &mut VmState, family: Family, id: HostcallId, queue: &Queue) -> Result<(), Failure> {
    argument(vm, family, id, Key::VmIds, "vm_ids", queue.vm_id().as_bytes())?;
    argument(vm, family, id, Key::Names, "names", queue.name())
}

/// Sets shared data, if the plugin may keep so many bytes.
pub(super) fn set_data(vm: &mut VmState, key: &[u8], value: &[u8], cas: u32) -> Result<(), Failure> {
    let must_exist = cas != 0 && vm.keeps_to_spec();
    let quota = vm.rule(Family::SetData).and_then(|rule| rule.quota.as_ref());
    let mut is_full = false;
    let result = vm.store.set(key, value, cas, &vm.budgets.shared, |entry| {
        if must_exist && entry.is_none() {
            return Err(Status::CasMismatch);
        }
        let Some(quota) = quota else { return Ok(None) };
        let kept = quota.keep(key.len().saturating_add(value.len()), entry.and_then(|entry| entry.kept.as_mut()));
        is_full = kept.is_none();
        kept.map(Some).ok_or(Status::InternalFailure)
    });
    if is_full {
        return Err(vm.refuse(HostcallId::proxy_set_shared_data, "bytes", None));
    }
    Ok(result.map_err(|status| no_room(vm, key, status))?)
}

/// Tells the operator why a key or a queue's name is refused.
pub(super) fn no_room(vm: &mut VmState, name: &[u8], status: Status) -> Status {
    match status {
        Status::InternalFailure if name.len() > Limits::LONGEST_KEY => {
            vm.remark(
                "a key of shared data or a name of a queue has more than 65536 bytes, and is refused; use shorter ones",
            );
            status
        }
        Status::InternalFailure => vm.used_up(UsedUp::Shared, status),
        _ => status,
    }
}

/// Returns the key of a map's rules.
fn map_name(map: MapType) -> &'static str {
    match map {
        MapType::RequestHeaders => "request_headers",
        MapType::RequestTrailers => "request_trailers",
        MapType::ResponseHeaders => "response_headers",
        MapType::ResponseTrailers => "response_trailers",
        MapType::GrpcReceiveInitialMetadata => "grpc_initial_metadata",
        MapType::GrpcReceiveTrailingMetadata => "grpc_trailing_metadata",
        MapType::HttpCallResponseHeaders => "call_headers",
        MapType::HttpCallResponseTrailers => "call_trailers",
    }
}
