//! Reads the list of the ABI, for tests that compare declarations with it.

use std::collections::HashMap;

const LIST: &str = include_str!("../../abi/1.40.txt");

/// A hook or a callback of the list: its parameters and its result, and whether Envoy wants it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    types: Vec<&'static str>,
    result: &'static str,
    pub(crate) must: bool,
}

/// Returns the hooks or the callbacks of the list.
pub(crate) fn read(kind: &str) -> HashMap<&'static str, Entry> {
    let mut entries = HashMap::new();
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        let (of, line) = line.split_once(' ').unwrap();
        if of != kind {
            continue;
        }
        let (name, signature) = line.split_once(": ").or_else(|| line.split_once(':')).unwrap();
        let (types, result) = signature.split_once("-> ").unwrap();
        let types = types.trim().split(", ").filter(|text| !text.is_empty()).collect();
        let mut result = result.split(' ');
        let (result, must) = (result.next().unwrap(), result.next().is_some());
        entries.insert(name, Entry { types, result, must });
    }
    entries
}

/// Compares a declaration, as `stringify!` writes it, with the list.
pub(crate) fn compare(entries: &HashMap<&str, Entry>, name: &str, declared: &str) {
    let entry = entries.get(name).unwrap_or_else(|| panic!("the list has no {name}"));
    let declared: String = declared.chars().filter(|char| !char.is_whitespace()).collect();
    let (parameters, result) = declared.strip_prefix("fn(").unwrap().split_once(')').unwrap();
    let result = result.strip_prefix("->").unwrap_or("void");
    let parameters: Vec<_> = parameters.split(',').filter(|text| !text.is_empty()).collect();
    assert_eq!(parameters.len(), entry.types.len(), "{name}: {declared} and {entry:?}");
    for (own, theirs) in parameters.iter().chain([&result]).zip(entry.types.iter().chain([&entry.result])) {
        assert!(is_same(own, theirs), "{name}: {own} is no {theirs}");
    }
}

/// Returns whether a type of ours has the form and the meaning of one of the list.
fn is_same(own: &str, theirs: &str) -> bool {
    const OBJECTS: [&str; 5] = ["CM", "FM", "RM", "NCM", "NM"];
    const NO_ENUMS: [&str; 11] =
        ["bool", "size_t", "uint64_t", "uint32_t", "int64_t", "double", "void", "eb", "mb", "eh", "mh"];
    let (own, theirs_value) = match own.strip_prefix("*mut").or_else(|| own.strip_prefix("*const")) {
        Some("c_void") => return OBJECTS.contains(&theirs),
        Some("c_char") => return theirs == "char*",
        Some(own) => match theirs.strip_suffix('*') {
            Some(theirs) => (own, theirs),
            None => return false,
        },
        None => (own, theirs),
    };
    let is_enum =
        || theirs_value.starts_with(|char: char| char.is_ascii_lowercase()) && !NO_ENUMS.contains(&theirs_value);
    match own {
        "Stream" => theirs_value == "F",
        "Config" => theirs_value == "C",
        "StreamScheduler" => theirs_value == "FS",
        "ConfigScheduler" => theirs_value == "CS",
        "Connection" => theirs_value == "N",
        "NetworkConfig" => theirs_value == "NC",
        "ConnectionScheduler" => theirs_value == "NS",
        "EnvoyBytes" => theirs_value == "eb",
        "OwnBytes<'_>" => theirs_value == "mb",
        "EnvoyHeader" => theirs_value == "eh",
        "OwnHeader<'_>" => theirs_value == "mh",
        "Timing" => theirs_value == "timing_info_v2",
        "usize" => theirs_value == "size_t",
        "u64" => theirs_value == "uint64_t",
        "f64" => theirs_value == "double",
        "u32" => theirs_value == "uint32_t" || is_enum(),
        "bool" | "void" => theirs_value == own,
        _ => false,
    }
}

#[test]
fn callbacks_are_declared_as_the_list_has_them() {
    let entries = read("callback");
    assert!(entries.len() > 200, "{}", entries.len());
    for (name, declared) in super::Callbacks::DECLARED {
        compare(&entries, name, declared);
    }
}

#[test]
fn other_types_are_other_types() {
    for (own, theirs) in [
        ("Stream", "C"),
        ("u32", "size_t"),
        ("u64", "size_t"),
        ("u32", "F"),
        ("*mutu64", "uint64_t"),
        ("u64", "uint64_t*"),
    ] {
        assert!(!is_same(own, theirs), "{own} {theirs}");
    }
    assert!(is_same("u32", "log_level") && is_same("*mutEnvoyBytes", "eb*"));
}

#[test]
fn values_have_the_sizes_of_the_list() {
    assert_eq!((size_of::<super::EnvoyBytes>(), size_of::<super::OwnBytes<'_>>()), (16, 16));
    assert_eq!((size_of::<super::EnvoyHeader>(), size_of::<super::OwnHeader<'_>>()), (32, 32));
    assert_eq!(size_of::<super::Stream>(), size_of::<*const u8>());
    assert_eq!(size_of::<super::Timing>(), 176);
}
