//! The rights that a module requests, beside those that its plugin is allowed.

use portcullis::package::{RequestError, requested_rights};

use super::rights::Rights;
use crate::blocks::rights;
use crate::reader::{Document, as_yaml};
use crate::{ConfigError, Plugin, RequestedRights, RightsConfig};

/// Why the rights that a module requests are no rights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestedError {
    /// The section of the module cannot be read.
    #[error(transparent)]
    Section(#[from] RequestError),
    /// The text is no JSON.
    #[error("the rights that it requests are no JSON: {0}")]
    Json(String),
    /// A rule has more values than are compared.
    #[error("a rule of the rights that it requests has {0} values; at most 256 are read")]
    Long(usize),
    /// The text is no `capability_restriction_config`.
    #[error("the rights that it requests cannot be read: {0}")]
    Rights(#[from] ConfigError),
}

/// The most values of one key: each is compared with each that is allowed.
const MOST_VALUES: usize = 256;

/// Reads the text of requested rights: a `capability_restriction_config` in JSON. Nothing else is read, because the author of the plugin
/// has written it.
///
/// # Errors
/// A fault of the text.
pub fn read(text: &str) -> Result<RightsConfig, RequestedError> {
    // No anchors, and no depth that could cost much.
    serde_json::from_str::<serde_json::Value>(text).map_err(|error| RequestedError::Json(error.to_string()))?;
    let text = as_yaml(text);
    let document = Document::parse("portcullis.rights", &text, "{\"allowed_capabilities\": {}}")?;
    let read = rights::read(&document.root());
    let requested = document.finish(read)?.0.unwrap_or_default();
    Rights::within(None, Some(&requested))?;
    let rules = requested.allowed.iter().flat_map(|allowed| &allowed.rules);
    match rules.map(|rule| rule.values.len()).max() {
        Some(most) if most > MOST_VALUES => Err(RequestedError::Long(most)),
        _ => Ok(requested),
    }
}

/// Reads rights as an operator writes them, in YAML or JSON: the block itself, or with its key before it as `portcullis inspect --yaml`
/// prints it. `name` is that of the text in messages.
///
/// # Errors
/// A fault of the text.
pub fn of_file(name: &str, text: &str) -> Result<RightsConfig, ConfigError> {
    let text = as_yaml(text);
    let document = Document::parse(name, &text, "`portcullis inspect PLUGIN --yaml` prints one")?;
    let root = document.root();
    let block = root.member(rights::KEY);
    let read = rights::read(block.as_ref().unwrap_or(&root));
    let requested = document.finish(read)?.0.unwrap_or_default();
    Rights::within(None, Some(&requested))?;
    Ok(requested)
}

/// Returns the text of requested rights, for [`with_requested_rights`](portcullis::package::with_requested_rights).
pub fn to_text(rights: &RightsConfig) -> String {
    let mut json = rights.to_json();
    if let Some(block) = json.as_object_mut() {
        // What becomes of other calls is the operator's to say.
        block.remove("on_denial");
        block.retain(|_, value| !value.is_null());
    }
    json.to_string()
}

/// Reads the rights that a module requests, if it does.
///
/// # Errors
/// The section, or its text, cannot be read.
pub fn of_module(code: &[u8]) -> Result<Option<RightsConfig>, RequestedError> {
    requested_rights(code)?.map(read).transpose()
}

/// Checks that a module requests no more rights than its plugin is allowed.
///
/// # Errors
/// The rights that it requests beyond those, or they cannot be read.
pub(super) fn check(plugin: &Plugin, code: &[u8], allowed: &Rights) -> Result<(), ConfigError> {
    if plugin.requested_rights == RequestedRights::Ignore {
        return Ok(());
    }
    let fault = |message: String, help: &str| plugin.vm.code_origin.diagnostic(message, help).into();
    let requested = match of_module(code) {
        // Whoever compiles it says what is wrong with it.
        Err(RequestedError::Section(RequestError::Unreadable(_))) => return Ok(()),
        requested => requested,
    };
    let requested = requested
        .map_err(|error| fault(error.to_string(), "package the module again, or write `requested_rights: ignore`"))?;
    let Some(beyond) = requested.map(|requested| beyond(&requested, allowed)).transpose()? else { return Ok(()) };
    match beyond.is_empty() {
        true => Ok(()),
        false => Err(fault(
            format!(
                "the module requests rights that the plugin {:?} is not allowed: {}",
                plugin.name,
                beyond.join("; ")
            ),
            "allow them in capability_restriction_config, or write `requested_rights: ignore` to run it without them",
        )),
    }
}

/// Returns what is requested and not allowed, in words.
fn beyond(requested: &RightsConfig, allowed: &Rights) -> Result<Vec<String>, ConfigError> {
    let requested = Rights::within(None, Some(requested))?;
    let names = requested.capabilities.held().filter(|name| !allowed.capabilities.held().any(|held| held == *name));
    let arguments = allowed.rules.beyond(&requested.rules);
    let of_allowed =
        arguments.iter().filter(|beyond| allowed.capabilities.held().any(|held| held == beyond.capability));
    Ok(names.map(str::to_owned).chain(of_allowed.map(ToString::to_string)).collect())
}
