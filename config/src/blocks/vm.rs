//! `vm_config`: the code of a plugin and the VM it runs in.

use std::fmt;
use std::path::PathBuf;

use portcullis::chain::Isolation;
use portcullis::model::Limits;
use portcullis::resources::Preopen;
use portcullis::sandbox::{Recycle, Sharing};

use super::any;
use super::environment::{self, Environment};
use super::limits::{self, LoadLimits};
use super::preopen;
use super::recycle::{self, RECYCLE_KEY};
use super::rights::{self, RightsConfig};
use super::secrets::Secrets;
use crate::error::{Located, Origin};
use crate::reader::{Key, Read, Refused, Section, Type, Value, base64, files};

/// The VM of a plugin: Envoy's `envoy.extensions.wasm.v3.VmConfig`. `Debug` does not show its configuration.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VmConfig {
    /// Plugins with the same id, code and configuration share a VM; may be empty.
    pub vm_id: String,
    /// The engine, as it was written: it is judged where the engines are known.
    pub runtime: Option<Located>,
    /// Where the module's bytes are.
    pub code: Code,
    /// The place of the file's name, the bytes or the text.
    pub code_origin: Origin,
    /// The bytes that `proxy_on_vm_start` is given.
    pub configuration: Vec<u8>,
    /// The values in `configuration` that stand elsewhere.
    pub configuration_secrets: Secrets,
    /// Its place; without one, the place of the VM.
    pub configuration_origin: Origin,
    /// The environment variables of the code.
    pub environment: Environment,
    /// The directories that it has, which were there when the configuration was read.
    pub preopens: Vec<Preopen>,
    /// Limits of the VM.
    pub limits: Limits,
    /// Limits of loading its module.
    pub load: LoadLimits,
    /// Whether it serves on the interpreter until it is compiled.
    pub fast_start: bool,
    /// How long it lasts.
    pub isolation: Isolation,
    /// The treatment of a plugin that has drawn at random before its state is kept for each stream.
    pub snapshot_randomness: SnapshotRandomness,
    /// The treatment of plugins that would share it and differ, if it has one of its own.
    pub sharing: Option<Sharing>,
    /// The most rights of all plugins in it. None is every right.
    pub rights: Option<RightsConfig>,
    /// Whether its plugins may act on each other's contexts.
    pub any_effective_context: bool,
    /// When another VM takes its place.
    pub recycle: Recycle,
}

/// Treatment of a plugin with `isolation: stream` that has drawn at random before its state is kept: each stream begins
/// with what it drew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SnapshotRandomness {
    /// The log says so.
    #[default]
    Tell,
    /// The plugin is refused.
    Refuse,
}

impl SnapshotRandomness {
    /// Returns its name in configurations: `tell` or `refuse`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tell => "tell",
            Self::Refuse => "refuse",
        }
    }
}

/// Where the bytes of a module are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Code {
    /// In a file, which was there when the configuration was read.
    File(PathBuf),
    /// In the configuration (`inline_bytes`).
    Bytes(Vec<u8>),
    /// In the configuration, as text (`inline_string`).
    Text(String),
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

impl fmt::Debug for VmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmConfig")
            .field("vm_id", &self.vm_id)
            .field("runtime", &self.runtime)
            .field("code", &self.code)
            .field("environment", &self.environment)
            .field("preopens", &self.preopens)
            .field("limits", &self.limits)
            .field("isolation", &self.isolation)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// Reads a `vm_config`.
pub(super) fn read(value: &Value<'_>) -> Read<VmConfig> {
    let mapping = value.mapping(&VM)?;
    let vm_id = mapping.or(VM_ID, String::new(), |id| id.string().map(str::to_owned));
    let runtime = mapping.optional(RUNTIME, |runtime| {
        let (value, origin) = (runtime.name()?, runtime.origin());
        Ok(Located { value, origin })
    });
    let code = mapping.required(CODE, "add `code: {local: {filename: plugin.wasm}}`", code);
    let configuration = mapping.or(CONFIGURATION, Default::default(), any::read);
    let environment = mapping.or(ENVIRONMENT, Environment::default(), environment::read);
    let preopens = mapping.or(PREOPENS, Vec::new(), preopen::read);
    let limits = mapping.or(LIMITS, Default::default(), limits::read);
    let effective = mapping.or(EFFECTIVE, false, |whose| whose.one_of(EFFECTIVE_CONTEXT));
    let isolation = mapping.or(ISOLATION_KEY, Isolation::Worker, |isolation| isolation.one_of(ISOLATION));
    let randomness = mapping.optional(SNAPSHOT_RANDOMNESS, |choice| Ok((choice.clone(), choice.one_of(RANDOMNESS)?)));
    let fast_start = mapping.or(TIER_KEY, false, |tier| tier.one_of(TIER));
    let own_sharing = mapping.optional(OWN_SHARING, sharing);
    let rights = mapping.optional(RIGHTS, rights::read);
    let recycle = mapping.or(RECYCLE_KEY, Recycle::default(), recycle::read);
    for (key, why) in IGNORED {
        let ignored = mapping.get(*key).map(|flag| (flag, flag.boolean()));
        if let Some((flag, Ok(true))) = ignored {
            flag.notice(format!("{} is ignored: {why}", key.name), "remove the key");
        }
    }
    let (code, code_origin) = code?;
    let (configuration, configuration_secrets) = configuration?;
    let (limits, load) = limits?;
    let (isolation, randomness, mut recycle) = (isolation?, randomness?, recycle?);
    recycle::check_memory(&mapping, &recycle, limits.memory)?;
    if let Some(value) = mapping.get(RECYCLE_KEY).filter(|_| isolation == Isolation::Stream) {
        value.notice(
            "recycle changes nothing with isolation: stream, whose VMs go with their streams",
            "remove the key",
        );
        recycle = Recycle::default();
    }
    if let Some((value, _)) = randomness.as_ref().filter(|_| isolation != Isolation::Stream) {
        value.notice("snapshot_randomness changes nothing without isolation: stream", "remove the key");
    }
    Ok(VmConfig {
        vm_id: vm_id?,
        runtime: runtime?,
        code,
        code_origin,
        configuration,
        configuration_secrets,
        configuration_origin: mapping.get(CONFIGURATION).unwrap_or(value).origin(),
        environment: environment?,
        preopens: preopens?,
        limits,
        load,
        fast_start: fast_start?,
        isolation,
        snapshot_randomness: randomness.map(|(_, choice)| choice).unwrap_or_default(),
        sharing: own_sharing?,
        rights: rights?.flatten(),
        any_effective_context: effective?,
        recycle,
    })
}

/// Reads `sharing`.
pub(super) fn sharing(value: &Value<'_>) -> Read<Sharing> {
    value.one_of(&[("reject", Sharing::Reject), ("isolate", Sharing::Isolate)])
}

/// The words of [`sharing`].
pub(super) const SHARING_WORDS: &[&str] = &["reject", "isolate"];

const VM_ID: Key =
    Key::new("vm_id", Type::Text, "Plugins with the same id, code and VM configuration share a VM.").default("''");
const RUNTIME: Key = Key::new(
    "runtime",
    Type::Name,
    "The engine: `wasmtime`, `wasmer`, `wasmi`, or Envoy's name of one (`portcullis engines`).",
)
.computed("the first engine of the binary");
const CODE: Key = Key::new("code", Type::Section(&CODE_SOURCE), "The module.").required();
pub(super) const CONFIGURATION: Key =
    Key::new("configuration", any::CONFIGURATION, "The bytes that `proxy_on_vm_start` is given.").default("''");
const ENVIRONMENT: Key = Key::new(
    "environment_variables",
    Type::Section(&environment::ENVIRONMENT),
    "The environment variables that the code sees.",
);
const PREOPENS: Key =
    Key::new("preopens", Type::List(const { &Type::Section(&preopen::PREOPEN) }), "The directories that the code has.")
        .default("[]");
const LIMITS: Key = Key::new("limits", Type::Section(&limits::LIMITS), "Limits of the VM and of its module.");
const EFFECTIVE: Key = Key::new(
    "effective_context",
    Type::Words(&["plugin", "vm"]),
    "The contexts that `proxy_set_effective_context` may choose from: the plugin's own, or those of all plugins of the VM.",
)
.default("plugin");
const TIER_KEY: Key = Key::new(
    "tier",
    Type::Words(&["compiled", "fast-start"]),
    "Whether the plugin is compiled before it serves, or serves on wasmi until it is.",
)
.default("compiled");
const ISOLATION_KEY: Key = Key::new(
    "isolation",
    Type::Words(&["worker", "stream"]),
    "Whether a worker has one VM for all of its streams, or each stream has its own.",
)
.default("worker");
const SNAPSHOT_RANDOMNESS: Key = Key::new(
    "snapshot_randomness",
    Type::Words(&["tell", "refuse"]),
    "With `isolation: stream`: whether a plugin that draws at random while it is configured is told of, or refused.",
)
.default("tell");
const OWN_SHARING: Key =
    Key::new("sharing", Type::Words(SHARING_WORDS), "The same as `sharing` at the top, for this VM.")
        .computed("`sharing` at the top");
const RIGHTS: Key = Key::new(
    "capability_restriction_config",
    Type::Section(&rights::RIGHTS),
    "The most rights of all plugins of the VM; without the key all of them.",
);
const ALLOW_PRECOMPILED: Key = Key::new("allow_precompiled", Type::Boolean, "Envoy's key, which changes nothing.");
const NACK_ON_CODE_CACHE_MISS: Key =
    Key::new("nack_on_code_cache_miss", Type::Boolean, "Envoy's key, which changes nothing.");

pub(super) static VM: Section = Section::new(
    "vm_config",
    "plugins[].vm_config and wherever a plugin stands",
    "The code of a plugin and the VM that it runs in.",
    &[
        VM_ID,
        RUNTIME,
        CODE,
        CONFIGURATION,
        ENVIRONMENT,
        PREOPENS,
        LIMITS,
        EFFECTIVE,
        TIER_KEY,
        ISOLATION_KEY,
        SNAPSHOT_RANDOMNESS,
        RECYCLE_KEY,
        OWN_SHARING,
        RIGHTS,
        ALLOW_PRECOMPILED,
        NACK_ON_CODE_CACHE_MISS,
    ],
);

const LOCAL: Key = Key::new("local", Type::Section(&LOCAL_CODE), "The bytes of the module.").required();

static CODE_SOURCE: Section =
    Section::new("code", "vm_config.code", "The source of a module; remote code is not fetched.", &[LOCAL]);

const FILENAME: Key =
    Key::new("filename", Type::Name, "A file, found from the working directory or beside the configuration.");
const INLINE_BYTES: Key = Key::new("inline_bytes", Type::Base64, "The bytes themselves.");
const INLINE_STRING: Key =
    Key::new("inline_string", Type::Text, "The module in WebAssembly's text format, or its bytes as text.");

static LOCAL_CODE: Section = Section::new(
    "local_code",
    "vm_config.code.local",
    "The bytes of a module; one of the keys.",
    &[FILENAME, INLINE_BYTES, INLINE_STRING],
);

/// The contexts that `proxy_set_effective_context` may choose from.
const EFFECTIVE_CONTEXT: &[(&str, bool)] = &[("plugin", false), ("vm", true)];

/// Whether a plugin serves before it is compiled.
const TIER: &[(&str, bool)] = &[("compiled", false), ("fast-start", true)];

/// The lifetime of a VM: a worker's, or a stream's.
const ISOLATION: &[(&str, Isolation)] =
    &[(Isolation::Worker.name(), Isolation::Worker), (Isolation::Stream.name(), Isolation::Stream)];

/// Treatment of randomness in a state that is kept.
const RANDOMNESS: &[(&str, SnapshotRandomness)] = &[
    (SnapshotRandomness::Tell.name(), SnapshotRandomness::Tell),
    (SnapshotRandomness::Refuse.name(), SnapshotRandomness::Refuse),
];

/// Keys that Envoy has and that change nothing here.
const IGNORED: &[(Key, &str)] = &[
    (ALLOW_PRECOMPILED, "compiled code is used where `code_cache` allows it"),
    (NACK_ON_CODE_CACHE_MISS, "code is never fetched"),
];

const REMOTE: Refused =
    ("remote", "remote code is not fetched", "download the file and name it in code.local.filename");

const VARIABLE: Refused = (
    "environment_variable",
    "code is not taken from an environment variable",
    "use filename, inline_bytes or inline_string",
);

const WATCHED: Refused =
    ("watched_directory", "directories are not watched", "remove the key, and start the gateway again with a new file");

fn code(value: &Value<'_>) -> Read<(Code, Origin)> {
    let mapping = value.mapping_without(&CODE_SOURCE, &[REMOTE])?;
    mapping.required(LOCAL, "add `local: {filename: plugin.wasm}`", local)
}

fn local(value: &Value<'_>) -> Read<(Code, Origin)> {
    let mapping = value.mapping_without(&LOCAL_CODE, &[VARIABLE, WATCHED])?;
    let Some((form, place)) = mapping.at_most_one(LOCAL_CODE.keys)? else {
        return Err(value.fail("no code is given", "add `filename: plugin.wasm`, inline_bytes or inline_string"));
    };
    let code = match form {
        "filename" => Code::File(files::existing(place, "build the plugin, or correct the path")?),
        "inline_bytes" => Code::Bytes(base64::read(place)?),
        _ => Code::Text(place.string()?.to_owned()),
    };
    Ok((code, place.origin()))
}
