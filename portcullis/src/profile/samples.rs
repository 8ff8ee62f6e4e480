use portcullis_core::engine::function_name;

/// The text before the names in the format of the Firefox profiler. In a name its quotes would be escaped.
const NAMES: &[u8] = b"\"stringArray\":";

/// The same samples, with the names of functions as they stood in their source. An engine's own way to do so may be no
/// match for a guest that chose its names; ours is bounded.
pub(super) fn with_readable_names(mut samples: Vec<u8>) -> Vec<u8> {
    let Some(start) = samples.windows(NAMES.len()).rposition(|bytes| bytes == NAMES).map(|at| at + NAMES.len()) else {
        return samples;
    };
    let rest = samples.get(start..).unwrap_or_default();
    let mut names = serde_json::Deserializer::from_slice(rest).into_iter::<Vec<String>>();
    if let Some(Ok(list)) = names.next()
        && let Ok(readable) = serde_json::to_vec(&list.iter().map(|name| function_name(name)).collect::<Vec<_>>())
    {
        let end = start + names.byte_offset();
        samples.splice(start..end, readable);
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(text: &str) -> String {
        String::from_utf8(with_readable_names(text.as_bytes().to_vec())).unwrap_or_default()
    }

    #[test]
    fn names_are_demangled_in_their_place_alone() {
        let text = r#"{"a":"_ZN3one3twoE","stringArray":["tour","_ZN3one3twoE","\"stringArray\":[1]"],"tid":"0"}"#;
        let shown = r#"{"a":"_ZN3one3twoE","stringArray":["tour","one::two","\"stringArray\":[1]"],"tid":"0"}"#;
        assert_eq!(readable(text), shown);
    }

    #[test]
    fn what_has_no_names_remains() {
        for text in ["", "{}", r#"{"stringArray":"#, r#"{"stringArray":[1]}"#] {
            assert_eq!(readable(text), text);
        }
    }
}
