//! `abi`: the tables of the ABI as text.

use std::fmt::Write;

use portcullis::abi::{AbiVersion, CALLBACKS, HOSTCALLS, ValType};

/// Returns every hostcall and callback: name (which is the capability's), type, ABI versions. All are implemented.
pub(super) fn text() -> String {
    let mut out = String::from("HOSTCALLS (name and capability, type, ABI versions, import modules)\n");
    for decl in HOSTCALLS {
        let row =
            Row { name: decl.name, params: decl.params, results: decl.results, since: decl.since, until: decl.until };
        row.write(&mut out, &decl.modules.join(" "));
    }
    out.push_str("\nCALLBACKS (export and capability, type, ABI versions)\n");
    for decl in CALLBACKS {
        let note = if decl.id.is_start_function() { "start function, needs no capability" } else { "" };
        let row =
            Row { name: decl.export, params: decl.params, results: decl.results, since: decl.since, until: decl.until };
        row.write(&mut out, note);
    }
    out
}

struct Row {
    name: &'static str,
    params: &'static [ValType],
    results: &'static [ValType],
    since: AbiVersion,
    until: AbiVersion,
}

impl Row {
    fn write(&self, out: &mut String, note: &str) {
        let types = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (params, results) = (types(self.params), types(self.results));
        let signature = format!("({params}) -> ({results})");
        let versions = format!("{}..{}", self.since, self.until);
        let line = format!("{:<42} {signature:<58} {versions:<13} {note}", self.name);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_is_printed() {
        let text = super::text();
        assert!(text.contains("proxy_log  "));
        assert!(text.contains("(i32 i64) -> (i32)"));
        assert!(text.lines().any(|line| line.starts_with("envoy_resolve_dns ") && line.ends_with(" env")));
        assert!(text.lines().any(|line| line.starts_with("proxy_on_request_headers ")));
    }
}
