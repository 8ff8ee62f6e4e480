//! Values in the configuration of a plugin or VM that stand elsewhere.

use std::fmt;

/// Values that a configuration refers to (`{file: PATH}`, `{env: NAME}`, `{credential: NAME}`). `Debug` does not show them.
///
/// ```
/// use portcullis_config::PluginsFile;
///
/// let file = PluginsFile::parse("plugins.yaml", "
/// plugins:
///   - name: auth
///     vm_config: {code: {local: {inline_bytes: AGFzbQEAAAA=}}}
///     configuration: {realm: example, path: {env: PATH}}
/// ")?;
/// let plugin = &file.plugins()[0];
/// assert_eq!(plugin.secrets().collect::<Vec<_>>(), [std::env::var("PATH").unwrap()]);
/// let shown = plugin.configuration_secrets.shown(&plugin.configuration);
/// assert_eq!(shown, br#"{"realm":"example","path":{"env":"PATH"}}"#);
/// # Ok::<(), portcullis_config::ConfigError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Secrets {
    /// The configuration with the references, if it has some.
    shown: Option<Vec<u8>>,
    values: Vec<String>,
}

impl Secrets {
    pub(super) fn new(shown: Option<Vec<u8>>, values: Vec<String>) -> Self {
        Self { shown, values }
    }

    /// Returns what may be shown of a configuration: references in place of values.
    pub fn shown<'a>(&'a self, configuration: &'a [u8]) -> &'a [u8] {
        self.shown.as_deref().unwrap_or(configuration)
    }

    /// Returns the values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(String::as_str)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}
