//! "Did you mean": the known word that a wrong one resembles.

/// Returns the remedy for a wrong word, if a known one resembles it.
pub fn suggest<S: AsRef<str>>(wrong: &str, known: &[S]) -> Option<String> {
    find(wrong, known).map(|word| format!("did you mean {word:?}?"))
}

/// Returns the known word that a wrong one resembles.
pub fn find<'k, S: AsRef<str>>(wrong: &str, known: &'k [S]) -> Option<&'k str> {
    /// Below this two words have too little in common; found by trying out typing errors.
    const ALIKE: f64 = 0.8;
    let wrong = normal(wrong);
    let scored = known.iter().map(|word| (likeness(&wrong, &normal(word.as_ref())), word.as_ref()));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// Returns the remedy for a wrong word among many that begin alike: up to three known ones that it begins or resembles.
pub fn suggest_several(wrong: &str, known: &[&str]) -> Option<String> {
    const SHOWN: usize = 3;
    /// A word as short as this begins too many others.
    const SHORTEST: usize = 8;
    /// How much less alike than the best name a name may be and still be suggested.
    const MARGIN: f64 = 0.01;
    let mut found: Vec<&str> =
        known.iter().copied().filter(|word| wrong.len() >= SHORTEST && word.starts_with(wrong)).collect();
    // The one that most plugins want goes first.
    found.sort_by_key(|word| !word.ends_with("_value"));
    if found.is_empty() {
        let likeness = |word: &str| likeness(&normal(wrong), &normal(word));
        let best = likeness(find(wrong, known)?);
        found = known.iter().copied().filter(|word| likeness(word) >= best - MARGIN).collect();
        found.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    }
    found.truncate(SHOWN);
    let quoted: Vec<String> = found.iter().map(|word| format!("{word:?}")).collect();
    let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
    (!quoted.is_empty()).then(|| format!("did you mean {}?", either(&quoted)))
}

/// Returns the words as a sentence has them: `a`, `a or b`, `a, b or c`.
pub fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// Returns the likeness of two words, from 0 to 1. One mistyped letter is close even in short words: `tsl` is `tls`.
fn likeness(wrong: &str, right: &str) -> f64 {
    let slip = wrong.len() >= 3 && strsim::damerau_levenshtein(wrong, right) == 1;
    strsim::jaro_winkler(wrong, right).max(if slip { 0.9 } else { 0.0 })
}

/// Removes case and separators: `vmConfig` is `vm_config`.
fn normal(word: &str) -> String {
    word.chars().filter(|c| !"_-".contains(*c)).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["name", "address", "tls", "buffer_limit", "plugins", "routes", "vm_config"];

    #[test]
    fn typing_errors_are_recognised() {
        for (wrong, right) in [
            ("adress", "address"),
            ("route", "routes"),
            ("pluggins", "plugins"),
            ("bufferLimit", "buffer_limit"),
            ("vmConfig", "vm_config"),
            ("tsl", "tls"),
            ("Name", "name"),
        ] {
            assert_eq!(find(wrong, KEYS), Some(right), "{wrong}");
        }
    }

    #[test]
    fn a_different_word_is_not_taken_for_a_typing_error() {
        for wrong in ["filters", "x", "timeout", "", "match"] {
            assert_eq!(find(wrong, KEYS), None, "{wrong}");
        }
    }

    #[test]
    fn several_words_are_suggested_where_several_begin_so() {
        let known = ["get_header_map_size", "get_header_map_pairs", "get_header_map_value", "get_header_map_x", "log"];
        assert_eq!(
            suggest_several("get_header", &known).as_deref(),
            Some("did you mean \"get_header_map_value\", \"get_header_map_size\" or \"get_header_map_pairs\"?")
        );
        assert_eq!(suggest_several("lgo", &known).as_deref(), Some("did you mean \"log\"?"));
        assert_eq!(suggest_several("something", &known), None);
    }

    #[test]
    fn words_make_a_sentence() {
        assert_eq!(either(&["a"]), "a");
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
    }
}
