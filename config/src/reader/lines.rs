//! Lines as YAML counts them.

/// Returns the lines of a text: a carriage return ends one even where no line feed follows.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}
