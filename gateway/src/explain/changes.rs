//! Keys of two configurations that differ.

use serde_json::Value;

/// A key whose values differ.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// The way to the key, such as `listeners[main].routes[api].timeout`.
    pub(super) key: String,
    /// None if the key was added.
    pub(super) old: Option<Value>,
    /// None if the key was removed.
    pub(super) new: Option<Value>,
}

/// The longest value that is shown whole, in bytes.
const LONGEST: usize = 60;

/// Returns what differs. Members of lists that have a name are compared by it, others by their place.
pub(super) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", Some(old), Some(new), &mut changes);
    changes
}

impl Change {
    /// Formats a value in one line.
    fn shown(value: Option<&Value>) -> String {
        let Some(value) = value else { return "nothing".to_owned() };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match text.len() > LONGEST {
            true => format!("{}...", text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()),
            false => text,
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.old, &self.new) {
            (None, _) => write!(f, "+ {}", self.key),
            (_, None) => write!(f, "- {}", self.key),
            (old, new) => write!(f, "~ {}: {} -> {}", self.key, Self::shown(old.as_ref()), Self::shown(new.as_ref())),
        }
    }
}

fn compare(key: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            for name in names {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(&key, old.get(name), new.get(name), changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => lists(key, old, new, changes),
        (old, new) => changes.push(Change { key: key.to_owned(), old: old.cloned(), new: new.cloned() }),
    }
}

fn lists(key: &str, old: &[Value], new: &[Value], changes: &mut Vec<Change>) {
    let (old_names, new_names) = (names(old), names(new));
    for (index, name) in old_names.iter().enumerate() {
        let other = new_names.iter().position(|other| other == name);
        compare(&format!("{key}[{name}]"), old.get(index), other.and_then(|other| new.get(other)), changes);
    }
    for (index, name) in new_names.iter().enumerate().filter(|(_, name)| !old_names.contains(name)) {
        compare(&format!("{key}[{name}]"), None, new.get(index), changes);
    }
    let common = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let (before, after) = (common(&old_names, &new_names), common(&new_names, &old_names));
    if before != after {
        let order = |names: Vec<String>| Some(Value::from(names.join(", ")));
        changes.push(Change { key: format!("the order of {key}"), old: order(before), new: order(after) });
    }
}

/// Returns what tells the members of a list apart: their names, or their places. Of a name that comes twice, the second has its place as well.
fn names(list: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for (index, member) in list.iter().enumerate() {
        let name = match member {
            Value::String(text) => Some(text.as_str()),
            member => ["name", "address"]
                .iter()
                .find_map(|key| member.get(key).or_else(|| member.get("config")?.get(key))?.as_str()),
        };
        let name = name.map_or_else(|| index.to_string(), str::to_owned);
        let is_taken = names.contains(&name);
        names.push(if is_taken { format!("{name}, {index}") } else { name });
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(old: Value, new: Value) -> Vec<String> {
        changes(&old, &new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn members_are_found_by_their_names() {
        let route = |name: &str, timeout: &str| json!({ "name": name, "timeout": timeout });
        let old = json!({ "routes": [route("a", "1s"), route("b", "2s"), route("gone", "1s")] });
        let new = json!({ "routes": [route("new", "1s"), route("a", "1s"), route("b", "3s")] });
        assert_eq!(told(old, new), ["~ routes[b].timeout: 2s -> 3s", "- routes[gone]", "+ routes[new]"]);
    }

    #[test]
    fn an_order_that_changes_is_a_change() {
        assert_eq!(told(json!({ "l": ["a", "b"] }), json!({ "l": ["b", "a"] })), ["~ the order of l: a, b -> b, a"]);
        assert_eq!(told(json!({ "l": ["a", "b", "c"] }), json!({ "l": ["a", "c"] })), ["- l[b]"]);
    }

    #[test]
    fn names_that_come_twice_are_told_apart() {
        let plugin = |size: u32| json!({ "name": "p", "size": size });
        let old = json!({ "plugins": [plugin(1), plugin(2)] });
        let new = json!({ "plugins": [plugin(1), plugin(3)] });
        assert_eq!(told(old, new), ["~ plugins[p, 1].size: 2 -> 3"]);
    }

    #[test]
    fn equal_configurations_have_no_changes() {
        let same = json!({ "a": [1, { "b": null }], "c": "d" });
        assert_eq!(changes(&same, &same), []);
        assert_eq!(told(json!({ "a": 1 }), json!({ "a": null })), ["~ a: 1 -> null"]);
    }
}
