//! The language of [`Row::script`](super::Row::script), as WebAssembly's text format.

use portcullis::core::{HOSTCALLS, HostcallId};

/// What a script becomes.
pub(super) struct Guest {
    /// The hostcalls that it imports.
    pub(super) hostcalls: Vec<HostcallId>,
    /// Its texts, as data segments.
    pub(super) data: String,
    /// Its calls; the last leaves its answer.
    pub(super) code: String,
}

/// Where texts of a row begin.
pub(super) const TEXTS: usize = 1024;

/// The hostcall of the last call.
pub(super) fn last(script: &str) -> HostcallId {
    let call = script.rsplit(';').next().unwrap_or_default();
    named(call.split_whitespace().next().unwrap_or_default())
}

/// Compiles a script whose texts begin at an address.
pub(super) fn compile(script: &str, texts: usize) -> Guest {
    let mut guest = Guest { hostcalls: Vec::new(), data: String::new(), code: String::new() };
    let mut free = texts;
    let calls: Vec<_> = script.split(';').collect();
    for (index, call) in calls.iter().enumerate() {
        let mut words = words(call).into_iter();
        let id = named(&words.next().unwrap_or_default());
        if !guest.hostcalls.contains(&id) {
            guest.hostcalls.push(id);
        }
        let mut arguments = String::new();
        for word in words {
            arguments.push(' ');
            arguments.push_str(&argument(&word, &mut free, &mut guest.data));
        }
        let one = format!("(call ${id}{arguments})");
        let is_last = index + 1 == calls.len();
        guest.code.push_str(&if is_last || id.decl().results.is_empty() { one } else { format!("(drop {one})") });
    }
    guest
}

fn argument(word: &str, free: &mut usize, data: &mut String) -> String {
    if let Some(address) = word.strip_prefix('@') {
        return format!("(i32.load (i32.const {address}))");
    }
    if let Some(number) = word.strip_suffix('L') {
        return format!("(i64.const {number})");
    }
    let Some(text) = word.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
        return format!("(i32.const {word})");
    };
    let text = text.replace('~', "\\00");
    let len = text.len() - 2 * text.matches('\\').count();
    data.push_str(&format!("(data (i32.const {free}) \"{text}\")"));
    let at = *free;
    *free += len;
    format!("(i32.const {at}) (i32.const {len})")
}

/// Words of a call; texts may hold spaces.
fn words(call: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_text = false;
    for c in call.trim().chars() {
        is_text ^= c == '\'';
        match words.last_mut() {
            Some(word) if is_text || !c.is_whitespace() => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words
}

fn named(name: &str) -> HostcallId {
    let decl = HOSTCALLS.iter().find(|decl| decl.name == name);
    decl.unwrap_or_else(|| panic!("there is no hostcall {name:?}")).id
}
