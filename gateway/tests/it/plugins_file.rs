//! The gateway's files and files of plugins: one reader, and one compiler.

use std::path::Path;

use portcullis::SystemHost;
use portcullis::resources::Host;
use portcullis_config::{LoadOptions, PluginsError, PluginsFile};
use portcullis_gateway::config::{Config, Plugin};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The block `plugins` of a gateway's file is a file of plugins as it stands.
#[test]
fn a_gateways_plugins_are_read_alike_in_both_files() {
    let text = std::fs::read_to_string(top().join("examples/gateway.yaml")).unwrap();
    let start = text.find("\nplugins:\n").unwrap() + 1;
    let block = &text[start..];
    let is_next = |line: &str| line.starts_with(|first: char| first.is_ascii_lowercase());
    let lines: Vec<_> = block.lines().enumerate().take_while(|(index, line)| *index == 0 || !is_next(line)).collect();
    let block: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();

    let name = top().join("gateway.yaml");
    let config = Config::parse(name.to_str().unwrap(), &text).unwrap();
    let file = PluginsFile::parse(name.to_str().unwrap(), &block).unwrap_or_else(|error| panic!("{error}"));
    let listener = &config.listeners[0];
    let in_chains =
        listener.plugins.iter().chain(listener.routes.iter().filter_map(|route| route.plugins.as_ref()).flatten());
    let named = |plugin: &&Plugin| file.plugins().iter().any(|own| own.name == plugin.name);
    let in_chains: Vec<_> = in_chains.filter(named).collect();
    assert!(in_chains.len() >= 4 && file.plugins().len() >= 3, "{} {}", in_chains.len(), file.plugins().len());
    for plugin in in_chains {
        assert!(file.plugins().contains(plugin), "{plugin:?}");
    }
}

/// The command `portcullis` compiles for embedders, within the limits of the file.
#[test]
fn a_program_compiles_within_the_limits_of_the_file() {
    let load = |limits: &str, program: &str| {
        let text = format!(
            "plugins: [{{name: a, vm_config: {{code: {{local: {{filename: guests/wasm/body_rewrite.wasm}}}}, limits: {{{limits}}}}}}}]"
        );
        let file = PluginsFile::parse(top().join("plugins.yaml").to_str().unwrap(), &text).unwrap();
        let host = || Box::new(SystemHost::new(|_| {})) as Box<dyn Host>;
        file.load(&LoadOptions::default().with_compiler(program), &host).map(|plugins| plugins.specs().len())
    };
    let program = env!("CARGO_BIN_EXE_portcullis");
    assert_eq!(load("", program).unwrap(), 1);
    let error = load("compile: {time: 1us}", program).unwrap_err();
    assert!(
        matches!(&error, PluginsError::Config(error) if error.to_string().contains("(limits.compile.time)")),
        "{error}"
    );
    let error = load("", "/no/such/program").unwrap_err();
    assert!(error.to_string().contains("the process that compiles cannot be started"), "{error}");
}
