//! Files of plugins: what a gateway's file says of plugins, without listeners.

use std::path::Path;

use crate::blocks::library::{DEFINED, Library};
use crate::blocks::settings::{self, Settings};
use crate::error::{ConfigError, Diagnostic};
use crate::plan::NewHost;
use crate::plan::loaded::{LoadOptions, LoadedPlugins, PluginsError};
use crate::reader::{self, Document, Key, Read, Refused, Section, Type, Value};
use crate::{Plugin, envoy};

/// Plugins as they are configured, for any program that runs them: of a file ([`Self::read`]), or of a filter of Envoy
/// ([`Self::from_envoy`]).
///
/// ```
/// use portcullis_config::PluginsFile;
///
/// let file = PluginsFile::parse("plugins.yaml", "
/// plugins:
///   - name: auth
///     vm_config: {code: {local: {inline_bytes: AGFzbQEAAAA=}}, isolation: stream}
///     configuration: {realm: example}
///     capability_restriction_config: {preset: headers}
/// ")?;
/// assert_eq!(file.plugins()[0].name, "auth");
///
/// let error = PluginsFile::parse("plugins.yaml", "plugins: [{nam: auth, vm_config: {code: {}, limit: {}}}]").unwrap_err();
/// let found: Vec<_> = error.diagnostics().iter().map(ToString::to_string).collect();
/// assert_eq!(found[0], r#"plugins.yaml:1:12: plugins[0]: unknown key "nam"; did you mean "name"?"#);
/// assert_eq!(found.len(), 3, "with the missing code and the unknown limit");
/// # Ok::<(), portcullis_config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginsFile {
    plugins: Vec<Plugin>,
    settings: Settings,
    notices: Vec<Diagnostic>,
}

impl PluginsFile {
    /// Reads a file in YAML or JSON; `-` is standard input. Its keys are `plugins`, a list in the order in which requests pass them, and
    /// `code_cache`, `sharing` and `limits`, all as in a file of the gateway, whose `plugins` can be copied as they are. A plugin without
    /// a name is called `plugin_INDEX`; no two have the same name.
    ///
    /// # Errors
    /// The file cannot be read, has more than 64 MiB, or breaks the rules of the configuration. All that is wrong is reported at once,
    /// each finding with file, line, column, path of keys and remedy.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (name, text) = reader::load(path.as_ref(), EXAMPLE)?;
        Self::parse(&name, &text)
    }

    /// Reads the text of such a file. Messages begin with `name`; files that the text names are looked for in the working directory, and
    /// then beside `name`.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        Self::of(Document::parse(name, &reader::as_yaml(text), EXAMPLE)?, read)
    }

    /// Reads the configuration of Envoy's filter `envoy.filters.http.wasm` or `envoy.filters.network.wasm`, in JSON or YAML: the text of
    /// a `google.protobuf.Struct` or `StringValue`. `origin` names the filter in messages, and is the name of a plugin that has none.
    ///
    /// The text is the filter's message (`{config: {...}}`), the `PluginConfig` in it, or a whole entry of `http_filters`
    /// (`{name: ..., typed_config: {...}}`). In place of what Envoy decides elsewhere stand keys of our own: `limits`, `isolation`, `tier`
    /// and others in `vm_config`, `capability_restriction_config` with presets and rules, `compatibility` in the plugin, and `code_cache`,
    /// `sharing` and `limits` beside `config`.
    ///
    /// ```
    /// use portcullis_config::PluginsFile;
    ///
    /// let text = r#"{"config": {"name": "auth", "root_id": "auth", "fail_open": true, "vm_config": {
    ///     "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"inline_bytes": "AGFzbQEAAAA="}}, "limits": {"cpu": "20%"}}},
    ///     "code_cache": "/var/cache/portcullis"}"#;
    /// let filter = PluginsFile::from_envoy(text, "listener 8080")?;
    /// assert_eq!(filter.plugins()[0].root_id, "auth");
    /// assert_eq!(filter.notices()[0].help, "write `failure_policy: FAIL_OPEN`");
    /// # Ok::<(), portcullis_config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub fn from_envoy(text: &str, origin: &str) -> Result<Self, ConfigError> {
        if text.trim().is_empty() {
            let message = "the filter has no configuration";
            return Err(Diagnostic::of_file(origin, message, format!("write {}", envoy::EXAMPLE)).into());
        }
        Self::of(Document::parse(origin, &reader::as_yaml(text), envoy::EXAMPLE)?, |root| {
            let (plugin, settings) = envoy::read(root, origin)?;
            Ok(Self { plugins: vec![plugin], settings, notices: Vec::new() })
        })
    }

    /// Returns the plugins, in their order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// Returns what concerns all of them.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns what the operator should know and is no error, to be logged as warnings.
    pub fn notices(&self) -> &[Diagnostic] {
        &self.notices
    }

    /// Compiles the plugins, and decides which of them share a VM. Plugins with `isolation: stream` are started once, each with a host
    /// that `host` makes, so that their state can be kept.
    ///
    /// # Errors
    /// Plugins are wrong, of which all that compiling finds is reported at once; the code cache cannot be opened; no engine has the name; a thread
    /// cannot be started.
    pub fn load(&self, options: &LoadOptions, host: NewHost<'_>) -> Result<LoadedPlugins, PluginsError> {
        LoadedPlugins::load(&self.plugins, &self.settings, options, host)
    }

    fn of(document: Document<'_>, read: impl FnOnce(&Value<'_>) -> Read<Self>) -> Result<Self, ConfigError> {
        let result = read(&document.root());
        let (file, notices) = document.finish(result)?;
        Ok(Self { notices, ..file })
    }
}

/// A file to start from.
const EXAMPLE: &str = "`plugins: [{name: NAME, vm_config: {code: {local: {filename: plugin.wasm}}}}]`";

const PLUGINS: Key = Key::new(
    "plugins",
    Type::List(const { &DEFINED }),
    "Plugins in the order in which requests pass them; each has a name of its own.",
)
.required();

static FILE: Section = Section::new(
    "plugins_file",
    "",
    "The keys at the top of a file of plugins.",
    &[PLUGINS, settings::CODE_CACHE, settings::SHARING, settings::LIMITS],
);

const OF_THE_GATEWAY: &str = "this key is the gateway's, and this is a file of plugins alone";
const REMOVE: &str = "remove it: the program that runs the plugins decides it";

/// Keys of a gateway's file that are not about plugins.
const REFUSED: &[Refused] = &[
    ("workers", OF_THE_GATEWAY, REMOVE),
    ("admin", OF_THE_GATEWAY, REMOVE),
    ("watch", OF_THE_GATEWAY, REMOVE),
    ("shutdown_timeout", OF_THE_GATEWAY, REMOVE),
    ("max_upstream_connections", OF_THE_GATEWAY, REMOVE),
    ("max_callouts", OF_THE_GATEWAY, REMOVE),
    ("stats_config", OF_THE_GATEWAY, REMOVE),
    ("services", OF_THE_GATEWAY, REMOVE),
    ("bootstrap_extensions", OF_THE_GATEWAY, REMOVE),
    ("listeners", OF_THE_GATEWAY, REMOVE),
    ("clusters", OF_THE_GATEWAY, REMOVE),
];

fn read(root: &Value<'_>) -> Read<PluginsFile> {
    let mapping = root.mapping_without(&FILE, REFUSED)?;
    let plugins = mapping.required(PLUGINS, "list the plugins below `plugins`", Library::definitions);
    let settings = settings::read(&mapping);
    Ok(PluginsFile { plugins: plugins?, settings: settings?, notices: Vec::new() })
}
