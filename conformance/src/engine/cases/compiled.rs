//! Compiled code that is kept and taken up again.

use portcullis::engine::AnyEngine;
use portcullis::model::Limits;
use portcullis::module::{Bytecode, SealKey};
use portcullis::vm::VmFailed;

use crate::engine::case::Case;
use crate::engine::running::Setup;

const KEY: SealKey = SealKey::new([7; SealKey::LEN]);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_restored_module_does_what_the_saved_one_did",
        guest: r#"
            (func $inner (call $report (memory.grow (i32.const 9))) unreachable)
            (func (export "proxy_on_tick") (param i32) (call $inner))
        "#,
        hostcalls: &[],
        spec: "portcullis#compiled code",
        run: |case, engine| {
            let wasm = wat::parse_str(case.wat()).unwrap();
            let bytecode = Bytecode::judge(&wasm).unwrap();
            let module = engine.load(&bytecode).unwrap();
            let saved = module.save().unwrap();
            assert_eq!(saved.is_some(), engine.features().precompiled);
            let Some(saved) = saved else { return };
            let subject = engine.fingerprint();
            let sealed = KEY.seal(&subject, &saved);
            let restored = engine.restore(&bytecode, &KEY.open(&subject, &sealed).unwrap()).unwrap();
            for module in [module, restored] {
                let limits = Limits::default().with_memory(3 << 16);
                let mut guest =
                    crate::engine::Running::start(&*module, bytecode.abi, Setup { limits, ..Setup::default() })
                        .unwrap();
                assert_eq!((guest.tick(), guest.seen()), (Err(VmFailed), vec!["-1".to_owned()]));
                let reason = "(trap: unreachable in inner, called by function 2)";
                assert!(guest.failure().ends_with(reason), "{}", guest.failure());
            }
        },
    },
    Case {
        name: "what_is_no_code_is_refused_though_it_is_sealed",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#compiled code",
        run: |case, engine| {
            let wasm = wat::parse_str(case.wat()).unwrap();
            let error = restore(engine, &wasm, &KEY.seal("subject", b"no machine code"));
            assert!(error.contains(" cannot restore "), "{error}");
        },
    },
];

/// Returns why sealed code cannot be taken up.
fn restore(engine: &dyn AnyEngine, wasm: &[u8], sealed: &[u8]) -> String {
    let code = KEY.open("subject", sealed).unwrap();
    engine.restore(&Bytecode::judge(wasm).unwrap(), &code).unwrap_err().to_string()
}
