//! Metrics (spec: "Metrics").

use std::sync::Arc;

use crate::abi::hostcall::HostcallId;
use crate::abi::{MetricType, Status};
use crate::hostcall::{Hostcall, HostcallResult, Reply, guard};
use crate::resources::metric::{MAX_NAME, type_of};
use crate::rights::Family;
use crate::vm::state::{UsedUp, VmState};

/// Defines a metric, or finds it again by its name (spec: `proxy_define_metric`).
///
/// `BadArgument`: there is no such type, or the name is no UTF-8 or longer than 8 KiB. `InternalFailure`: the
/// plugin has too many ([`Limits::metrics`](crate::model::Limits::metrics)), its sandbox has no room for the name
/// ([`Limits::shared`](crate::model::Limits::shared)), or the embedder refuses it.
pub(in crate::hostcall) fn define_metric(
    mut call: Hostcall<'_>,
    metric_type: i32,
    name: i32,
    name_len: i32,
    ret_metric: i32,
) -> HostcallResult {
    let bytes = call.memory.slice(name, name_len)?;
    if bytes.len() > MAX_NAME {
        Err(Status::BadArgument)?;
    }
    let metric_type = MetricType::try_from(metric_type)?;
    let name = std::str::from_utf8(bytes).map_err(|_| Status::BadArgument)?;
    call.memory.check_u32(ret_metric)?;
    const ID: HostcallId = HostcallId::proxy_define_metric;
    guard::metric(call.vm, metric_type, name.as_bytes())?;
    let plugin = Arc::clone(call.vm.plugin().ok_or(Status::InternalFailure)?);
    let count = call.vm.rule(Family::DefineMetric).and_then(|rule| rule.count);
    let most = call.vm.config.vm.limits.metrics;
    let id = match call.vm.metrics.find(metric_type, &plugin, name) {
        Some(id) => id,
        None if count.is_some_and(|most| call.vm.metrics.count(&plugin) >= most) => {
            return Err(call.vm.refuse(ID, "count", None));
        }
        None if !call.vm.metrics.has_room(&plugin) => Err(Status::InternalFailure)?,
        None if call
            .vm
            .shared_quotas
            .as_ref()
            .is_some_and(|all| !all.defines(metric_type, name, count.unwrap_or(most))) =>
        {
            return Err(if count.is_some() {
                call.vm.refuse(ID, "count", None)
            } else {
                Status::InternalFailure.into()
            });
        }
        None => {
            let Some(charge) = call.vm.budgets.charge_metric(&plugin.name, metric_type, name) else {
                return Err(call.vm.used_up(UsedUp::Shared, Status::InternalFailure).into());
            };
            let metric = call.vm.host.define_metric(&plugin, metric_type, name).ok_or(Status::InternalFailure)?;
            let name = call.vm.budgets.note_metric(&plugin.name, metric_type, name, charge);
            Arc::make_mut(&mut call.vm.metrics)
                .insert(metric_type, &plugin, name, metric)
                .ok_or(Status::InternalFailure)?
        }
    };
    call.memory.write_u32(ret_metric, id)?;
    Ok(Reply::Done)
}

/// Adds to a counter or gauge (spec: `proxy_increment_metric`). A counter only grows: 0 and less
/// is `BadArgument`, as for a histogram.
#[inline(always)]
pub(in crate::hostcall) fn increment_metric(vm: &mut VmState, metric: i32, delta: i64) -> HostcallResult {
    let id = metric.cast_unsigned();
    let metric_type = type_of(id)?;
    if metric_type == MetricType::Histogram || metric_type == MetricType::Counter && delta <= 0 {
        Err(Status::BadArgument)?;
    }
    let plugin = vm.plugin().ok_or(Status::NotFound)?;
    vm.metrics.get(id, plugin)?.1.add(delta);
    Ok(Reply::Done)
}

/// Sets a gauge, notes a value in a histogram, adds to a counter (spec: `proxy_record_metric`).
///
/// differs: the spec says that a counter is set; deployed hosts add to it, and so does this one
/// ([`Compatibility`](crate::model::Compatibility) chooses).
#[inline(always)]
pub(in crate::hostcall) fn record_metric(vm: &mut VmState, metric: i32, value: i64) -> HostcallResult {
    let id = metric.cast_unsigned();
    type_of(id).map_err(|_| Status::NotFound)?;
    let plugin = vm.plugin().ok_or(Status::NotFound)?;
    let sets = vm.keeps_to_spec();
    match vm.metrics.get(id, plugin)? {
        (MetricType::Counter, metric) if sets => metric.record(value.cast_unsigned()),
        (MetricType::Counter, metric) if value > 0 => metric.add(value),
        (MetricType::Counter, _) => {}
        (_, metric) => metric.record(value.cast_unsigned()),
    }
    Ok(Reply::Done)
}

/// Returns the value of a counter or gauge (spec: `proxy_get_metric`).
pub(in crate::hostcall) fn get_metric(mut call: Hostcall<'_>, metric: i32, ret_value: i32) -> HostcallResult {
    let id = metric.cast_unsigned();
    if type_of(id)? == MetricType::Histogram {
        Err(Status::BadArgument)?;
    }
    let plugin = call.vm.plugin().ok_or(Status::NotFound)?;
    let value = call.vm.metrics.get(id, plugin)?.1.value();
    call.memory.write_u64(ret_value, value)?;
    Ok(Reply::Done)
}
