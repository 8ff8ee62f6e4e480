//! `services`: plugins without traffic, Envoy's `envoy.extensions.wasm.v3.WasmService`.

use portcullis::chain::Isolation;
use portcullis_config::Plugin;
use portcullis_config::blocks::library::Library;
use portcullis_config::blocks::{filter_entry, plugin};
use portcullis_config::reader::{Kind, Read, Type, Value};

use super::service_entry;

/// A plugin that no stream comes to: it has ticks, queues and callouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The plugin.
    pub plugin: Plugin,
    /// Whether one worker alone runs it; else each does.
    pub singleton: bool,
}

/// A plugin without traffic, in all forms.
pub(super) const SERVICES: Type = Type::Either(
    const {
        &[
            Type::Name,
            Type::Section(&plugin::PLUGIN),
            Type::Section(&service_entry::SERVICE),
            Type::Section(&service_entry::ENTRY),
            Type::Section(&service_entry::STRUCT),
        ]
    },
);

/// Reads the top-level `services`.
pub(super) fn read_all(value: &Value<'_>, library: &Library) -> Read<Vec<Service>> {
    value.list(|index, value| {
        let service = read(index, value, library)?;
        if service.plugin.vm.isolation == Isolation::Stream {
            return Err(
                value.fail("isolation: stream: a service has no streams", "remove isolation from its vm_config")
            );
        }
        Ok(service)
    })
}

fn read(index: usize, value: &Value<'_>, library: &Library) -> Read<Service> {
    let default_name = format!("service_{index}");
    if filter_entry::is_entry(value) {
        let (service, name) = service_entry::read(value)?;
        return whole(&service, &name.unwrap_or(default_name), library);
    }
    let is_plugin = value.member("vm_config").is_some();
    if let Some(flag) = value.member("singleton").filter(|_| is_plugin) {
        return Err(flag.fail(
            "singleton does not stand among the plugin's keys",
            "write `{singleton: true, config: {...}}`, with the plugin's keys in config",
        ));
    }
    if matches!(value.kind(), Kind::Mapping) && !is_plugin && value.member("config").is_some() {
        return whole(value, &default_name, library);
    }
    Ok(Service { plugin: library.service(value, &default_name)?, singleton: false })
}

/// Reads a `WasmService`.
fn whole(value: &Value<'_>, default_name: &str, library: &Library) -> Read<Service> {
    let mapping = value.mapping(&service_entry::SERVICE)?;
    let plugin =
        mapping.required(service_entry::CONFIG, "add the plugin's keys below it, or the name of one", |config| {
            library.service(config, default_name)
        });
    let singleton = mapping.or(service_entry::SINGLETON, false, Value::boolean);
    Ok(Service { plugin: plugin?, singleton: singleton? })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::Config;

    const VM: &str = "vm_config: {code: {local: {inline_string: (module)}}}";

    fn read(key: &str, services: &str) -> Result<String, String> {
        let text = format!(
            "listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}]}}]\nclusters: [{{name: e, echo: {{}}}}]\n\
             plugins: [{{name: named, {VM}}}]\n{key}:\n{services}"
        );
        let config = Config::parse("test.yaml", &text).map_err(|error| error.to_string())?;
        let shown = config.services.iter().map(|service| format!("{}:{}", service.plugin.name, service.singleton));
        let unused = config.notices.iter().filter(|notice| notice.message.contains("never runs")).count();
        Ok(format!("{} {unused}", shown.collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn all_forms_are_read() {
        let typed = "type.googleapis.com/envoy.extensions.wasm.v3.WasmService";
        let envoy = format!(
            "{{name: envoy.bootstrap.wasm, typed_config: {{\"@type\": {typed}, singleton: true, config: {{name: mine, {VM}}}}}}}"
        );
        let nameless = format!("{{name: envoy.bootstrap.wasm, typedConfig: {{\"@type\": {typed}, config: {{{VM}}}}}}}");
        let wrapped = format!(
            "{{name: w, typed_config: {{\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: {typed}, value: {{config: {{name: s, {VM}}}, singleton: true}}}}}}"
        );
        let bare = format!("{{\"@type\": {typed}, config: {{name: bare, {VM}}}}}");
        for (service, expected) in [
            ("named", "named:false 0".to_owned()),
            ("{config: named, singleton: true}", "named:true 0".to_owned()),
            (&format!("{{name: own, {VM}}}"), "own:false 1".to_owned()),
            (&format!("{{singleton: true, config: {{{VM}}}}}"), "service_0:true 1".to_owned()),
            (&envoy, "mine:true 1".to_owned()),
            (&nameless, "envoy.bootstrap.wasm:false 1".to_owned()),
            (&wrapped, "s:true 1".to_owned()),
            (&bare, "bare:false 1".to_owned()),
        ] {
            for key in ["services", "bootstrap_extensions"] {
                assert_eq!(read(key, &format!("  - {service}\n")).unwrap(), expected, "{service}");
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let http = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
        let other = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
        for (service, expected) in [
            (
                format!("{{singleton: true, {VM}}}"),
                "singleton does not stand among the plugin's keys; write `{singleton: true, config: {...}}`",
            ),
            ("nobody".to_owned(), "no plugin is called \"nobody\""),
            (
                format!("{{name: x, typed_config: {{\"@type\": {http}, config: {{{VM}}}}}}}"),
                "is a filter, which gets traffic; put it into the plugins of a listener",
            ),
            (
                format!("{{name: x, typed_config: {{\"@type\": {other}}}}}"),
                "is not a Wasm service; only type.googleapis.com/envoy.extensions.wasm.v3.WasmService can be used here: remove this entry",
            ),
            (
                "{config: {vm_config: {isolation: stream, code: {local: {inline_string: (module)}}}}}".to_owned(),
                "a service has no streams; remove isolation",
            ),
            ("{config: named, singelton: true}".to_owned(), "unknown key \"singelton\"; did you mean \"singleton\"?"),
        ] {
            let error = read("services", &format!("  - {service}\n")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let both = read("services", "  - named\nbootstrap_extensions: [named]\n").unwrap_err();
        assert!(both.contains("both \"services\" and \"bootstrap_extensions\" are given; keep one of them"), "{both}");
    }
}
