//! Answers to a plugin without the capability.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use portcullis::abi::{AbiVersion, HostcallId, ValType};
use portcullis::engine::AnyEngine;
use portcullis::model::Plugin;
use portcullis::module::Bytecode;
use portcullis::rights::Capabilities;

use crate::answers::LISTED;
use crate::engine::prelude;
use crate::engine::running::{Running, Setup};

/// A hostcall that is denied, and its answer then.
#[derive(Clone, Copy, Debug)]
pub struct Denied {
    /// The hostcall.
    pub hostcall: HostcallId,
    /// The answer; none of a hostcall that answers no status. It has no effect then.
    pub answer: Option<i32>,
}

/// Returns each hostcall that needs a capability.
pub fn denied() -> impl Iterator<Item = Denied> {
    let deniable = LISTED.iter().filter(|(hostcall, _)| !Capabilities::NONE.allows(*hostcall));
    deniable.map(|(hostcall, answers)| {
        let answer = answers.iter().find(|answer| matches!(**answer, 10 | 76)).copied();
        Denied { hostcall: *hostcall, answer }
    })
}

impl Denied {
    /// Returns the guest.
    pub fn wat(&self) -> String {
        let Self { hostcall, answer } = *self;
        let zero = |ty: &ValType| format!("({ty}.const 0)");
        let zeros: String = hostcall.decl().params.iter().map(zero).collect();
        let marker = match hostcall.decl().until {
            AbiVersion::V0_1_0 => "(func (export \"proxy_abi_version_0_1_0\"))",
            _ => "",
        };
        // It may be the right to log that it lacks.
        let call = match answer {
            Some(answer) => format!("(if (i32.ne (call ${hostcall} {zeros}) (i32.const {answer})) (then unreachable))"),
            None if hostcall.decl().results.is_empty() => format!("(call ${hostcall} {zeros})"),
            None => format!("(drop (call ${hostcall} {zeros}))"),
        };
        let guest = format!("{marker}(func (export \"proxy_on_tick\") (param i32) {call})");
        prelude::module(&[hostcall], &guest)
    }

    /// Calls it with zeros, from a plugin with every right but this.
    ///
    /// # Panics
    /// The hostcall is not denied.
    pub fn run(&self, engine: &dyn AnyEngine) {
        let Self { hostcall, answer } = *self;
        let wasm = wat::parse_str(self.wat()).unwrap();
        let bytecode = Bytecode::judge(&wasm).unwrap();
        let plugin = Plugin::new("test").with_capabilities(Capabilities::ALL.without(hostcall));
        let setup = Setup { plugin, ..Setup::default() };
        let mut guest = Running::start(&*engine.load(&bytecode).unwrap(), bytecode.abi, setup).unwrap();
        assert_eq!(guest.tick(), Ok(()), "another answer than {answer:?}");
        assert_eq!(guest.vm.state().denials(), 1);
    }
}
