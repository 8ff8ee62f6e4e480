//! Plugins that use shared data and queues under the `vm_id` that all have who name none.

use std::collections::BTreeSet;

use portcullis::PluginSpec;
use portcullis::abi::HostcallId;
use portcullis::module::Needs;
use portcullis::rights::Capabilities;

use super::listing;
use crate::Diagnostic;

/// Hostcalls whose objects are found by the `vm_id`. To dequeue and enqueue, a plugin needs one of these first.
const SHARED: [HostcallId; 4] = [
    HostcallId::proxy_get_shared_data,
    HostcallId::proxy_set_shared_data,
    HostcallId::proxy_register_shared_queue,
    HostcallId::proxy_resolve_shared_queue,
];

/// Returns true if a plugin may share data or queues with any other that names no `vm_id`.
pub(super) fn is_open(spec: &PluginSpec) -> bool {
    // One that is kept apart shares with its own sandbox alone.
    spec.plugin.vm_id.is_empty() && spec.isolated.is_none() && !of(spec.plugin.capabilities, None).is_empty()
}

/// Advises each of the plugins that may share with the others and can: those whose rights were listed in any case, since somebody meant them
/// to share; others if there is somebody to share with.
pub(super) fn advise<'a>(open: &[(&'a crate::Plugin, &'a PluginSpec, &'a Needs)]) -> Vec<Diagnostic> {
    let uses = |spec: &PluginSpec, needs: &Needs| of(spec.plugin.capabilities, Some(needs));
    let users: Vec<_> = open.iter().filter(|(_, spec, needs)| !uses(spec, needs).is_empty()).collect();
    let advice = |(plugin, spec, needs): &&(&crate::Plugin, &PluginSpec, &Needs)| {
        let sandbox = spec.sandbox();
        let others = users.iter().filter(|(_, other, _)| other.sandbox() != sandbox);
        let others: BTreeSet<_> = others.map(|(other, _, _)| other.name.as_str()).collect();
        if others.is_empty() && spec.plugin.capabilities == Capabilities::ALL {
            return None;
        }
        let names = listing(uses(spec, needs).into_iter().map(|id| id.decl().name))?;
        let with = listing(others.into_iter()).map(|others| format!(", as {others} is")).unwrap_or_default();
        let message = format!(
            "has no vm_id, and so shares data and queues ({names}) with every plugin that is without one{with}: each reads and overwrites \
             what others keep there"
        );
        Some(plugin.origin.diagnostic(message, "name a vm_id in vm_config, the same for plugins that are to share"))
    };
    users.iter().filter_map(advice).collect()
}

/// Returns the functions that a plugin may call, and can.
fn of(allowed: Capabilities, needs: Option<&Needs>) -> Vec<HostcallId> {
    let can = |id: &HostcallId| allowed.allows(*id) && needs.is_none_or(|needs| needs.hostcalls.contains(id));
    SHARED.into_iter().filter(can).collect()
}
