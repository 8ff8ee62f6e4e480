use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Recycle, SandboxKey};
use crate::model::limits::Limits;
use crate::resources::files::Preopen;
use crate::rights::{Capabilities, Rules};
use crate::setters::setters;

/// The description of a VM. It stands in this one place, for configurations, chains, the core and the key of a sandbox.
/// `Debug` shows the length of its configuration and the number of its environment variables, which may have secrets.
///
/// ```
/// use portcullis_core::model::Limits;
/// use portcullis_core::resources::Preopen;
/// use portcullis_core::sandbox::VmSpec;
///
/// let vm = VmSpec::default()
///     .with_configuration("{}")
///     .with_preopens(vec![Preopen::new("/data", "/srv/plugin").with_write(true)])
///     .with_limits(Limits::default().with_open_files(8));
/// assert!(!vm.any_effective_context);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VmSpec {
    /// The metadata that plugins read as the VM's configuration.
    pub configuration: Bytes,
    /// The environment that WASI shows, `(key, value)`.
    pub environment: Vec<(String, String)>,
    /// The directories that WASI shows, in this order, from descriptor 3. The host opens them when the VM starts.
    pub preopens: Vec<Preopen>,
    /// The limits of the VM.
    pub limits: Limits,
    /// Whether a plugin may act on contexts of the other plugins of this VM, as deployed hosts let it; off by
    /// default. Its rights stay its own.
    pub any_effective_context: bool,
    /// When another VM takes its place.
    pub recycle: Recycle,
}

impl VmSpec {
    setters! {
        with_configuration(impl Into<Bytes>) -> configuration;
        with_environment(Vec<(String, String)>) -> environment;
        with_preopens(Vec<Preopen>) -> preopens;
        with_limits(Limits) -> limits;
        with_any_effective_context(bool) -> any_effective_context;
        with_recycle(Recycle) -> recycle;
    }
}

impl fmt::Debug for VmSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart whole: a field that is added does not compile until somebody has decided whether it is shown.
        let Self { configuration, environment, preopens, limits, any_effective_context, recycle } = self;
        f.debug_struct("VmSpec")
            .field("configuration", &format_args!("{} bytes", configuration.len()))
            .field("environment", &format_args!("{} variables", environment.len()))
            .field("preopens", preopens)
            .field("limits", limits)
            .field("any_effective_context", any_effective_context)
            .field("recycle", recycle)
            .finish()
    }
}

/// All that a VM's identity is made of: whatever changes what guest code sees or may do.
///
/// Whoever makes one names every part: two plugins whose specs lack the same part would share memory.
#[derive(Clone, Copy, Debug)]
pub struct SandboxSpec<'a> {
    /// The id that the plugin asks for.
    pub vm_id: &'a str,
    /// The module's bytes.
    pub code: &'a [u8],
    /// The engine's name.
    pub engine: &'a str,
    /// The description of the VM.
    pub vm: &'a VmSpec,
    /// The capabilities of the plugin: plugins that share memory share rights.
    pub capabilities: Capabilities,
    /// The rules of the plugin.
    pub rules: &'a Rules,
    /// The plugin's name, if it shares its VM with no plugin, because each stream has one.
    pub alone: Option<&'a str>,
}

impl SandboxSpec<'_> {
    /// Returns the key: a SHA-256 over all parts, each with its length before it, so that no two different specs read
    /// alike.
    pub fn key(&self) -> SandboxKey {
        // Taken apart whole, as are the parts below: a field that is added does not compile until somebody has decided whether it
        // is part of a VM's identity.
        let Self {
            vm_id: _,
            code: _,
            engine: _,
            alone: _,
            vm: VmSpec { configuration: _, environment, preopens, limits, any_effective_context, recycle },
            capabilities,
            rules,
        } = self;
        let mut parts = Parts(Sha256::new());
        parts.add(&self.group().0);
        add_limits(&mut parts, limits);
        parts.add(&[u8::from(*any_effective_context)]);
        add_recycle(&mut parts, recycle);
        parts.add(&capabilities.to_bytes());
        parts.count(rules.texts().len());
        for (capability, keys) in rules.texts() {
            parts.add(capability.as_bytes());
            parts.count(keys.len());
            for (key, values) in keys {
                parts.add(key.as_bytes());
                parts.count(values.len());
                values.iter().for_each(|value| parts.add(value.as_bytes()));
            }
        }
        parts.count(environment.len());
        for (key, value) in environment {
            parts.add(key.as_bytes());
            parts.add(value.as_bytes());
        }
        parts.count(preopens.len());
        for Preopen { guest, host, write } in preopens {
            parts.add(guest.as_bytes());
            parts.add(host.as_os_str().as_encoded_bytes());
            parts.add(&[u8::from(*write)]);
        }
        SandboxKey(parts.0.finalize().into())
    }

    /// Returns the key of those that share a VM unless they differ in what they may do: a SHA-256 over `vm_id`, code,
    /// VM configuration, engine, and the name of a plugin that is alone.
    pub fn group(&self) -> SandboxKey {
        let mut parts = Parts(Sha256::new());
        for bytes in [self.vm_id.as_bytes(), &Sha256::digest(self.code), &self.vm.configuration, self.engine.as_bytes()]
        {
            parts.add(bytes);
        }
        if let Some(plugin) = self.alone {
            parts.add(b"alone");
            parts.add(plugin.as_bytes());
        }
        SandboxKey(parts.0.finalize().into())
    }
}

/// The parts of a key, each with its length before it.
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds how many things follow.
    fn count(&mut self, count: usize) {
        self.add(&(count as u64).to_le_bytes());
    }
}

/// Adds every limit, as a number of so many bytes.
fn add_limits(parts: &mut Parts, limits: &Limits) {
    let Limits {
        memory,
        table_elements,
        stack,
        deadline,
        start_deadline,
        callouts,
        metrics,
        buffer,
        open_files,
        shared,
        buffers,
        cpu,
    } = limits;
    for number in [memory, table_elements, stack, callouts, metrics, buffer, open_files, shared, buffers] {
        parts.count(*number);
    }
    for time in [deadline, start_deadline] {
        parts.add(&time.as_nanos().to_le_bytes());
    }
    // No part is 0, which therefore stands for none.
    parts.count(cpu.map_or(0, |cpu| cpu.get().into()));
}

/// Adds every bound, each after a byte that says whether it is there.
fn add_recycle(parts: &mut Parts, recycle: &Recycle) {
    let Recycle { memory, age, streams, linger } = recycle;
    let mut add = |number: Option<u128>| {
        parts.add(&[u8::from(number.is_some())]);
        parts.add(&number.unwrap_or_default().to_le_bytes());
    };
    add(memory.map(|memory| memory as u128));
    add(age.map(|age| age.as_nanos()));
    add(streams.map(u128::from));
    add(Some(linger.as_nanos()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::hostcall::HostcallId;

    #[test]
    fn secrets_are_not_in_what_debug_shows() {
        let environment = vec![("TOKEN".to_owned(), "hush-value".to_owned())];
        let vm = VmSpec::default().with_configuration("hush-vm").with_environment(environment);
        let plugin = crate::model::Plugin::new("p").with_configuration("hush-plugin");
        let shown = format!("{vm:?} {plugin:?}");
        assert!(shown.contains("configuration: 7 bytes") && shown.contains("configuration: 11 bytes"), "{shown}");
        assert!(shown.contains("environment: 1 variables") && !shown.contains("hush"), "{shown}");
    }

    /// Each limit has a place of its own in the key.
    #[test]
    fn every_limit_counts() {
        let base = Limits::default();
        let second = std::time::Duration::from_nanos(1);
        let others = [
            Limits { memory: 7, ..base.clone() },
            Limits { table_elements: 7, ..base.clone() },
            Limits { stack: 7, ..base.clone() },
            Limits { deadline: second, ..base.clone() },
            Limits { start_deadline: second, ..base.clone() },
            Limits { callouts: 7, ..base.clone() },
            Limits { metrics: 7, ..base.clone() },
            Limits { buffer: 7, ..base.clone() },
            Limits { open_files: 7, ..base.clone() },
            Limits { shared: 7, ..base.clone() },
            Limits { buffers: 7, ..base.clone() },
            Limits { cpu: crate::model::Percent::new(7), ..base.clone() },
            base.clone(),
        ];
        let digest = |limits: &Limits| {
            let mut parts = Parts(Sha256::new());
            add_limits(&mut parts, limits);
            parts.0.finalize()
        };
        let digests: std::collections::HashSet<_> = others.iter().map(digest).collect();
        assert_eq!(digests.len(), base.named().len() + 1);
    }

    #[test]
    fn every_part_counts_and_parts_do_not_run_together() {
        fn preopen(guest: &str, host: &str, write: bool) -> Vec<Preopen> {
            vec![Preopen { guest: guest.into(), host: host.into(), write }]
        }
        let vm = VmSpec::default();
        let with = |change: fn(&mut VmSpec)| {
            let mut vm = VmSpec::default();
            change(&mut vm);
            vm
        };
        let vms = [
            with(|vm| vm.limits.memory = 1),
            with(|vm| vm.environment = vec![("K".to_owned(), "v".to_owned())]),
            with(|vm| vm.environment = vec![(String::new(), "Kv".to_owned())]),
            with(|vm| vm.any_effective_context = true),
            with(|vm| vm.recycle.memory = Some(7)),
            with(|vm| vm.recycle.memory = Some(0)),
            with(|vm| vm.recycle.streams = Some(7)),
            with(|vm| vm.recycle.age = Some(std::time::Duration::from_nanos(7))),
            with(|vm| vm.recycle.linger = std::time::Duration::from_nanos(7)),
            with(|vm| vm.preopens = preopen("/a", "b", false)),
            with(|vm| vm.preopens = preopen("/", "ab", false)),
            with(|vm| vm.preopens = preopen("/a", "b", true)),
        ];
        let configured = with(|vm| vm.configuration = "a".into());
        let base = SandboxSpec {
            vm_id: "a",
            code: b"c",
            engine: "null",
            vm: &vm,
            capabilities: Capabilities::ALL,
            rules: &Rules::NONE,
            alone: None,
        };
        let texts = [("proxy_log".to_owned(), [("rate".to_owned(), vec!["1/s".to_owned()])].into())].into();
        let ruled = Rules::new(&texts).unwrap_or_default();
        let variants = [
            base,
            SandboxSpec { vm_id: "", vm: &configured, ..base },
            SandboxSpec { vm: &configured, ..base },
            SandboxSpec { vm_id: "b", ..base },
            SandboxSpec { code: b"d", ..base },
            SandboxSpec { engine: "other", ..base },
            SandboxSpec { alone: Some("a"), ..base },
            SandboxSpec { alone: Some("b"), ..base },
            SandboxSpec { rules: &ruled, ..base },
            SandboxSpec { capabilities: Capabilities::ALL.without(HostcallId::proxy_http_call), ..base },
        ];
        let variants: Vec<_> = variants.into_iter().chain(vms.iter().map(|vm| SandboxSpec { vm, ..base })).collect();
        let keys: std::collections::HashSet<_> = variants.iter().map(SandboxSpec::key).collect();
        assert_eq!(keys.len(), variants.len());
        assert_eq!(base.key(), variants[0].key());
    }
}
