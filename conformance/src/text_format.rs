//! Imports in WebAssembly's text format.

use portcullis_core::abi::{AbiVersion, HostcallDecl, HostcallId, ValType};

/// Returns the import of a hostcall as `$NAME`. WASI functions are imported from the newer of their two modules.
pub(crate) fn import(id: HostcallId) -> String {
    let module = AbiVersion::ALL.iter().find_map(|abi| id.linked_modules(*abi).last()).copied().unwrap_or_default();
    let decl = id.decl();
    import_from(module, decl, &format!("${}", decl.name))
}

/// Returns the import of a hostcall from a module, with an identifier or none.
pub(crate) fn import_from(module: &str, decl: &HostcallDecl, id: &str) -> String {
    let (name, params, results) = (decl.name, types(decl.params), types(decl.results));
    format!("(import \"{module}\" \"{name}\" (func {id} (param{params}) (result{results})))\n")
}

/// Returns types as the text format lists them.
pub(crate) fn types(types: &[ValType]) -> String {
    types.iter().map(|ty| format!(" {ty}")).collect()
}
