//! Names of callbacks and statuses, as checks and pages have them.

use portcullis_core::abi::{CallbackId, Errno, HOSTCALLS, Status};

/// Returns a callback's name without `proxy_on_`.
pub(crate) fn short(phase: CallbackId) -> &'static str {
    let export = phase.decl().export;
    export.strip_prefix("proxy_on_").unwrap_or(export)
}

/// Returns what the calls of a script answered, with the name of each status behind its number: `1 (NotFound),'x'`.
///
/// `answers` has an answer for each call of the script, or one alone, which is that of the last.
pub(crate) fn with_names(script: &str, answers: &str) -> String {
    let calls: Vec<_> = script.split(';').map(str::trim).filter(|call| !call.is_empty()).collect();
    let parts = parts(answers);
    let Some(before) = calls.len().checked_sub(parts.len()).filter(|before| *before == 0 || parts.len() == 1) else {
        return answers.to_owned();
    };
    let named = calls.iter().skip(before).zip(parts).map(|(call, answer)| match status(call, answer) {
        Some(name) => format!("{answer} ({name})"),
        None => answer.to_owned(),
    });
    named.collect::<Vec<_>>().join(",")
}

/// Returns the name of the status that a call answered.
fn status(call: &str, answer: &str) -> Option<String> {
    let name = call.split_whitespace().next()?;
    let decl = HOSTCALLS.iter().find(|decl| decl.name == name && !decl.results.is_empty())?;
    let number = answer.parse().ok()?;
    if decl.modules.contains(&"env") {
        Status::from_number(number).map(|status| format!("{status:?}"))
    } else {
        Errno::from_number(number).map(|errno| format!("{errno:?}"))
    }
}

/// Splits observations at the commas that are in no quotes.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    loop {
        let (mut quoted, mut escaped) = (false, false);
        let end = text.find(|char| {
            let ends = char == ',' && !quoted;
            quoted ^= char == '\'' && !escaped;
            escaped = char == '\\' && !escaped;
            ends
        });
        let Some((part, rest)) = end.and_then(|end| text.split_at_checked(end)) else { break };
        parts.push(part);
        text = rest.strip_prefix(',').unwrap_or(rest);
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_statuses_have_their_names() {
        let script = "proxy_get_shared_data 'k' 0 4 64; bytes 0 4; proxy_set_tick_period_milliseconds 5";
        assert_eq!(with_names(script, "1,'a,\\',b',2"), "1 (NotFound),'a,\\',b',2 (BadArgument)");
        assert_eq!(with_names(script, "10"), "10 (InternalFailure)", "the last one's");
        assert_eq!(with_names("fd_close 3", "8"), "8 (Badf)");
        for other in ["77", "the callback was not called", "", "0,1"] {
            assert_eq!(with_names(script, other), other);
        }
    }
}
