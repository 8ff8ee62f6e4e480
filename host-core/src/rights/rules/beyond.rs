//! The difference of two sets of rules: arguments that one allows, and the other does not.

use std::borrow::Cow;
use std::fmt;

use super::super::pattern::covers;
use super::list::List;
use super::path::is_below;
use super::schema::Kind;
use super::{Rules, read, ruled};

/// Arguments of one capability that rules do not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beyond {
    /// The capability.
    pub capability: String,
    /// The key of its rules.
    pub key: String,
    /// The texts, as they are asked for.
    pub texts: Vec<String>,
}

/// Displays as `proxy_http_call.upstreams: billing, reports`.
impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {}", self.capability, self.key, self.texts.join(", "))
    }
}

impl Rules {
    /// Returns what `asked` allows by name and these rules do not. A key that `asked` does not have is not compared: who asks leaves
    /// it to who grants.
    ///
    /// A pattern counts as allowed if one pattern of the list covers it and none that takes away may meet a name of it, unless `asked`
    /// takes that away as well; so it may be returned where all of its names are allowed by several patterns together. Nothing is
    /// granted or denied by this.
    ///
    /// ```
    /// use portcullis_core::rights::Rules;
    ///
    /// let rules = |upstreams: &[&str]| {
    ///     let texts = upstreams.iter().map(|text| (*text).to_owned()).collect();
    ///     let keys = [("upstreams".to_owned(), texts)].into();
    ///     Rules::new(&[("proxy_http_call".to_owned(), keys)].into())
    /// };
    /// let beyond = rules(&["auth", "log-*"])?.beyond(&rules(&["auth", "log-eu-*", "billing"])?);
    /// assert_eq!(beyond[0].to_string(), "proxy_http_call.upstreams: billing");
    /// # Ok::<(), portcullis_core::rights::RuleError>(())
    /// ```
    pub fn beyond(&self, asked: &Self) -> Vec<Beyond> {
        let mut found = Vec::new();
        for (capability, keys) in asked.texts() {
            // Of those that are ruled together, another may have the texts.
            let Some(family) = ruled(capability) else { continue };
            let own = family.capabilities.iter().find_map(|name| self.texts().get(*name));
            let Some(own) = own.filter(|own| !own.is_empty()) else { continue };
            let other_maps = own.get("other_maps");
            for (key, texts) in keys {
                let Some((_, _, kind)) = family.keys.iter().find(|(name, ..)| name == key) else { continue };
                // Of header maps that have no rule beside those that have, `other_maps` decides.
                let is_map = family.keys.iter().any(|(name, ..)| *name == "other_maps");
                let texts = match own.get(key).or_else(|| other_maps.filter(|_| is_map)) {
                    Some(own) => not_allowed(*kind, own, texts),
                    None if is_map => texts.iter().filter(|text| !text.starts_with('!')).cloned().collect(),
                    None => Vec::new(),
                };
                if !texts.is_empty() {
                    found.push(Beyond { capability: capability.clone(), key: key.clone(), texts });
                }
            }
        }
        found
    }
}

/// Returns the texts of `asked` that are not allowed by `own`. Both have been compiled, so each can be read.
fn not_allowed(kind: Kind, own: &[String], asked: &[String]) -> Vec<String> {
    let is_within = |text: &String| match kind {
        Kind::Prefixes => own.iter().any(|prefix| is_below(text.as_bytes(), prefix.as_bytes())),
        Kind::Statuses => {
            let ranges: Vec<_> = own.iter().filter_map(|text| read::statuses(text).ok()).collect();
            read::statuses(text).is_ok_and(|mut asked| asked.all(|one| ranges.iter().any(|range| range.contains(&one))))
        }
        Kind::Rate => both(read::rate, own, text).is_some_and(|(own, asked)| asked.is_within(&own)),
        Kind::ByteRate => both(read::byte_rate, own, text).is_some_and(|(own, asked)| asked.is_within(&own)),
        Kind::Number => both(read::number, own, text).is_some_and(|(own, asked)| asked <= own),
        Kind::Size => both(read::size, own, text).is_some_and(|(own, asked)| asked <= own),
        kind => lists(kind, own, asked, text),
    };
    let taken_away = |text: &&String| is_list(kind) && text.starts_with('!');
    let mut texts: Vec<_> = asked.iter().filter(|text| !taken_away(text) && !is_within(text)).cloned().collect();
    // What only takes away asks for all the rest.
    let everything = "*".to_owned();
    let all_take = is_list(kind) && !asked.is_empty() && asked.iter().all(|text| text.starts_with('!'));
    if all_take && !lists(kind, own, asked, &everything) {
        texts.push(everything);
    }
    texts
}

const fn is_list(kind: Kind) -> bool {
    !matches!(kind, Kind::Prefixes | Kind::Statuses | Kind::Rate | Kind::ByteRate | Kind::Number | Kind::Size)
}

/// Returns whether a list allows all names of a text that another has.
fn lists(kind: Kind, own: &[String], asked: &[String], text: &str) -> bool {
    if !text.contains('*') {
        // A name, in any spelling.
        let name = match kind {
            Kind::GrpcMethods => text.strip_prefix('/').unwrap_or(text),
            _ => text,
        };
        return List::new(own, kind).is_ok_and(|list| list.allows(&spelled(kind, name)));
    }
    let covers = |outer: &str, inner: &str| covers(&written(kind, outer), &written(kind, inner));
    let (except, allowed): (Vec<_>, Vec<_>) = own.iter().partition(|text| text.starts_with('!'));
    let is_covered = allowed.is_empty() && !except.is_empty() || allowed.iter().any(|own| covers(own, text));
    let is_given_up =
        |taken: &str| asked.iter().filter_map(|asked| asked.strip_prefix('!')).any(|given_up| covers(given_up, taken));
    is_covered && except.iter().filter_map(|text| text.strip_prefix('!')).all(is_given_up)
}

/// Writes a pattern as all its spellings have it.
fn written(kind: Kind, text: &str) -> Cow<'_, str> {
    match kind {
        Kind::Methods | Kind::Headers | Kind::Hosts | Kind::Authorities => text.to_ascii_lowercase().into(),
        Kind::GrpcMethods => text.strip_prefix('/').unwrap_or(text).into(),
        _ => text.into(),
    }
}

/// Writes a name as it is asked for in calls.
fn spelled(kind: Kind, name: &str) -> Vec<u8> {
    match kind {
        Kind::Properties => name.bytes().map(|byte| if byte == b'.' { 0 } else { byte }).collect(),
        _ => name.as_bytes().to_vec(),
    }
}

/// Reads a value of both.
fn both<T>(read: impl Fn(&str) -> Result<T, String>, own: &[String], asked: &str) -> Option<(T, T)> {
    let own = own.first().and_then(|own| read(own).ok())?;
    Some((own, read(asked).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::*;

    /// Returns what is beyond, as it is displayed.
    fn beyond(own: &[(&str, &str, &[&str])], asked: &[(&str, &str, &[&str])]) -> Vec<String> {
        let rules = |rules| Rules::new(&texts(rules)).unwrap_or_else(|error| panic!("{error}"));
        rules(own).beyond(&rules(asked)).iter().map(ToString::to_string).collect()
    }

    /// Returns the same of one key.
    fn of(capability: &str, key: &str, own: &[&str], asked: &[&str]) -> String {
        beyond(&[(capability, key, own)], &[(capability, key, asked)])
            .concat()
            .replace(&format!("{capability}.{key}: "), "")
    }

    #[test]
    fn lists_are_compared_by_what_they_allow() {
        for (own, asked, expected) in [
            (&["a", "b"][..], &["b", "a"][..], ""),
            (&["a"], &["a", "b", "c"], "b, c"),
            (&["a*"], &["ab", "ab*", "a*b"], ""),
            (&["ab*"], &["a*"], "a*"),
            (&["*"], &["*", "a"], ""),
            (&["a"], &["*"], "*"),
            (&[], &["a"], "a"),
            (&["a"], &[], ""),
            (&["*", "!a"], &["a", "b"], "a"),
            (&["*", "!a"], &["*"], "*"),
            (&["*", "!a"], &["*", "!a"], ""),
            (&["!a"], &["!a"], ""),
            (&["!a"], &["!b"], "*"),
            (&["a"], &["!b"], "*"),
            (&["*", "!a*"], &["*", "!ab"], "*"),
            (&["*", "!ab"], &["*", "!a*"], ""),
        ] {
            assert_eq!(of("proxy_http_call", "upstreams", own, asked), expected, "{own:?} {asked:?}");
        }
    }

    #[test]
    fn each_kind_is_compared_as_calls_are() {
        for (capability, key, own, asked, expected) in [
            ("proxy_http_call", "paths", &["/a"][..], &["/a", "/a/b", "/ab", "/"][..], "/ab, /"),
            ("proxy_http_call", "methods", &["get"], &["GET", "PUT"], "PUT"),
            ("proxy_http_call", "authorities", &["a.test"], &["A.test", "a.test:443", "a.test:81"], "a.test:81"),
            ("proxy_http_call", "rate", &["60/m"], &["1/s"], ""),
            ("proxy_http_call", "rate", &["1/s"], &["60/m"], "60/m"),
            ("proxy_http_call", "rate", &["5/s"], &["6/s"], "6/s"),
            ("proxy_http_call", "in_flight", &["5"], &["6"], "6"),
            ("proxy_http_call", "in_flight", &["5"], &["5"], ""),
            ("proxy_log", "bytes", &["1KiB/s"], &["2KiB/s"], "2KiB/s"),
            ("proxy_set_shared_data", "bytes", &["1KiB"], &["1024"], ""),
            ("proxy_send_local_response", "statuses", &["400-449", "450-499"], &["4xx"], ""),
            ("proxy_send_local_response", "statuses", &["401", "403"], &["401", "4xx"], "4xx"),
            ("proxy_get_property", "paths", &["request.*", "!request.query"], &["request.method"], ""),
            ("proxy_get_property", "paths", &["request.*"], &["request.*", "source.address"], "source.address"),
            ("proxy_grpc_call", "methods", &["pkg.A/*"], &["/pkg.A/B", "pkg.C/D"], "pkg.C/D"),
            ("proxy_grpc_call", "methods", &["pkg.A/*"], &["/pkg.A/*"], ""),
            ("proxy_http_call", "upstreams", &["auth-*"], &["AUTH-*", "AUTH-a"], "AUTH-*, AUTH-a"),
            ("proxy_http_call", "headers", &["x-*"], &["X-A*"], ""),
            ("proxy_define_metric", "names", &["a_*"], &["a.b"], ""),
        ] {
            assert_eq!(of(capability, key, own, asked), expected, "{capability} {key} {own:?} {asked:?}");
        }
    }

    #[test]
    fn a_key_that_one_of_them_does_not_have_is_left_to_the_other_but_maps_are_hidden() {
        assert!(
            beyond(&[("proxy_http_call", "upstreams", &["a"])], &[("proxy_http_call", "methods", &["GET"])]).is_empty()
        );
        assert!(beyond(&[], &[("proxy_http_call", "upstreams", &["a"])]).is_empty());
        let asked: &[(&str, &str, &[&str])] = &[("proxy_get_header_map_pairs", "response_headers", &["x"])];
        let hidden = beyond(&[("proxy_get_header_map_value", "request_headers", &["*"])], asked);
        assert_eq!(hidden, ["proxy_get_header_map_pairs.response_headers: x"]);
        let others: &[(&str, &str, &[&str])] = &[
            ("proxy_get_header_map_value", "request_headers", &["*"]),
            ("proxy_get_header_map_value", "other_maps", &["x"]),
        ];
        assert!(beyond(others, asked).is_empty());
    }
}
