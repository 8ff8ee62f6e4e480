use crate::abi::AbiVersion;
use crate::resources::foreign::ForeignFunctions;
use crate::resources::shared::{Shared, Wake};
use crate::rights::{Capabilities, Rules};
use crate::sandbox::{SandboxKey, VmSpec};

/// The configuration of a VM.
///
/// Whoever makes one names every field, or begins with [`VmConfig::new`], which restricts nothing.
#[derive(Debug)]
pub struct VmConfig {
    /// The ABI that its module declares.
    pub abi: AbiVersion,
    /// The description of the VM.
    pub vm: VmSpec,
    /// The capabilities of start functions, of those that start functions have in any case.
    pub capabilities: Capabilities,
    /// The rules of start functions.
    pub rules: Rules,
    /// The callbacks that its module exports, so that those that a plugin may not receive are told as
    /// denials, and what the module has no callback for passes by it. `None`, the default, if that is not known.
    pub exports: Option<Capabilities>,
    /// The id under which it shares data and queues.
    pub vm_id: String,
    /// Its sandbox, for the record of denials. VMs of one sandbox that share have [`Limits::shared`](crate::model::Limits::shared) and [`Limits::buffers`](crate::model::Limits::buffers) together; a
    /// VM of none has them alone.
    pub sandbox: Option<SandboxKey>,
    /// The sandbox whose data and queues it sees alone, if it is kept apart from others of its id.
    pub isolated: Option<SandboxKey>,
    /// With which VMs it shares.
    pub shared: Shared,
    /// The functions that its plugins may call beyond the ABI.
    pub foreign: ForeignFunctions,
    /// Wakes its thread when [`Vm::on_queue_ready`](crate::vm::Vm::on_queue_ready) has something to do.
    pub wake: Option<Wake>,
}

impl VmConfig {
    /// Makes a configuration without values: every right, default limits, nothing shared with other VMs.
    pub fn new(abi: AbiVersion) -> Self {
        Self {
            abi,
            vm: VmSpec::default(),
            capabilities: Capabilities::ALL,
            rules: Rules::NONE,
            exports: None,
            vm_id: String::new(),
            sandbox: None,
            isolated: None,
            shared: Shared::default(),
            foreign: ForeignFunctions::default(),
            wake: None,
        }
    }
}
