//! Advice on rights that differ from what a plugin can use. It costs reading the plugin's code, so
//! `portcullis check` asks for it and serving does not.

mod vm_id;

use std::collections::HashMap;
use std::sync::Arc;

use portcullis::model::Plugin;
use portcullis::module::{Bytecode, Needs};
use portcullis::rights::Capabilities;
use portcullis::{Module, PluginSpec};

use crate::plan::sandboxes::Configured;
use crate::{Diagnostic, Located};

/// Returns what an operator may want to change, each once; for plugins that have every right, only with which plugins they share.
pub fn advise(plugins: &[Configured<'_>]) -> Vec<Diagnostic> {
    let lacks_rights = |spec: &PluginSpec| spec.plugin.capabilities != Capabilities::ALL;
    let mut known = HashMap::new();
    for own in plugins.iter().filter(|own| lacks_rights(own.spec) || vm_id::is_open(own.spec)) {
        let module: *const Module = Arc::as_ptr(&own.spec.module);
        known.entry(module).or_insert_with(|| needs(&own.spec.module));
    }
    let with_needs = plugins
        .iter()
        .filter_map(|own| Some((own.plugin, own.spec, known.get(&Arc::as_ptr(&own.spec.module))?.as_ref()?)));
    let mut open = Vec::new();
    let mut found: Vec<_> = plugins.iter().filter_map(|own| reflection(own.plugin, &own.spec.plugin)).collect();
    for (plugin, spec, needs) in with_needs {
        if lacks_rights(spec) {
            found.extend(compare(plugin, spec.plugin.capabilities, needs));
        }
        if vm_id::is_open(spec) {
            open.push((plugin, spec, needs));
        }
    }
    found.extend(vm_id::advise(&open));
    // A plugin with a name can stand in many chains.
    let mut once = Vec::with_capacity(found.len());
    for found in found {
        if !once.contains(&found) {
            once.push(found);
        }
    }
    once
}

/// Warns of a plugin that may have hidden headers shown to it.
fn reflection(plugin: &crate::Plugin, rights: &Plugin) -> Option<Diagnostic> {
    let names = listing(rights.reflects().into_iter())?;
    let message = format!(
        "its rules hide headers of requests, but it may write {names}: an upstream that answers with the request that it got, \
         such as an echo or a debug page, shows them to the plugin"
    );
    let taken = rights.reflects().iter().map(|name| format!(", \"!{name}\"")).collect::<String>();
    let help = format!(
        "unless no upstream does so, write `request_headers: [\"*\"{taken}]` behind the capabilities that write headers, such as \
         proxy_replace_header_map_value"
    );
    Some(plugin.origin.diagnostic(message, help))
}

/// Returns what a module needs; none where there is no bytecode to read.
fn needs(module: &Module) -> Option<Needs> {
    Needs::of(&Bytecode::judge(module.code()).ok()?).ok()
}

fn compare(plugin: &crate::Plugin, allowed: Capabilities, needs: &Needs) -> impl Iterator<Item = Diagnostic> {
    let listed = plugin.rights.iter().flat_map(|rights| &rights.allowed).map(|allowed| &allowed.name);
    let unused = listed.filter(|name| !is_used(name, needs)).map(|name| name.value.as_str());
    let unused = listing(unused).map(|names| {
        let message = format!("allowed, but the module neither calls nor exports: {names}");
        plugin.origin.diagnostic(message, "remove the names from allowed_capabilities")
    });
    let callbacks = needs.callbacks.iter().filter(|id| !allowed.allows_callback(**id)).map(|id| id.decl().export);
    let callbacks = listing(callbacks).map(|names| {
        let message = format!("exported, but not allowed, and so never called: {names}");
        plugin.origin.diagnostic(message, ALLOW)
    });
    let hostcalls = needs.hostcalls.iter().filter(|id| !allowed.allows(**id)).map(|id| id.decl().name);
    let hostcalls = listing(hostcalls).map(|names| {
        let message = format!("within the module's reach, but not allowed, and so denied if it calls: {names}");
        plugin.origin.diagnostic(message, ALLOW)
    });
    [unused, callbacks, hostcalls].into_iter().flatten()
}

const ALLOW: &str =
    "if the plugin relies on one, add it to allowed_capabilities; `portcullis inspect` shows all that it can use";

/// Returns true if a right is of use to the plugin, or would be its own in any case. Unknown names are errors elsewhere.
fn is_used(name: &Located, needs: &Needs) -> bool {
    let right = Capabilities::from_names([name.value.as_str()]).unwrap_or(Capabilities::NONE);
    right == Capabilities::NONE || right.and(needs.capabilities()) != Capabilities::NONE
}

/// Returns the first names, and how many more there are; None if there are none.
fn listing<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 6;
    let names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ");
    match more {
        0 => (!shown.is_empty()).then_some(shown),
        _ => Some(format!("{shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::listing;

    #[test]
    fn a_list_is_no_longer_than_a_line() {
        assert_eq!(listing([].into_iter()), None);
        assert_eq!(listing(["a", "b"].into_iter()).as_deref(), Some("a, b"));
        assert_eq!(listing(["a"; 6].into_iter()).as_deref(), Some("a, a, a, a, a, a"));
        assert_eq!(listing(["a"; 9].into_iter()).as_deref(), Some("a, a, a, a, a, a and 3 more"));
    }
}
