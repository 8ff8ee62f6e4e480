use crate::abi::hostcall::HOSTCALLS;
use crate::module::bytecode::{Bytecode, ModuleInfo};
use crate::module::reach::Needs;

/// Judges any bytes as a module, and reads what they tell: nothing panics, and each answer fits the others.
pub fn bytecode(data: &[u8]) {
    let _ = ModuleInfo::read(data);
    let refused = Bytecode::refused_imports(data, 8);
    assert!(refused.len() <= 8);
    let judged = match Bytecode::judge(data) {
        Ok(judged) => judged,
        Err(error) => {
            // It ends in logs and terminals.
            assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'), "{error:?}");
            return;
        }
    };
    assert!(refused.is_empty(), "a module is accepted, and its imports are not: {refused:?}");
    let needs = Needs::of(&judged).expect("what was judged can be read");
    let imports = HOSTCALLS.iter().filter(|decl| judged.imports.contains(&decl.id)).count();
    assert_eq!(needs.hostcalls.len() + needs.unreachable.len(), imports);
    assert!(needs.hostcalls.iter().all(|id| !needs.unreachable.contains(id)));
}
