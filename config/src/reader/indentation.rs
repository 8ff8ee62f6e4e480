//! Explains a line whose indentation fits none of the lines above it.

use super::lines::lines;

/// A key or the dash of an item in a line above, below which a later line can be aligned.
struct Open<'t> {
    column: usize,
    line: usize,
    /// None is a dash.
    key: Option<&'t str>,
    /// The key has a value on its line, so nothing can be nested in it.
    has_value: bool,
}

/// Returns what is wrong with the line of this number, and what to do. None where the indentation is not to blame.
pub(super) fn explain(text: &str, number: usize) -> Option<(String, String)> {
    let wrong = lines(text).nth(number.checked_sub(1)?)?;
    let column = indent(wrong);
    let name = key(wrong.trim_start()).map(|(key, _)| key)?;
    let open = open_above(text, number);
    let same = open.iter().rposition(|open| open.column == column);
    let target = match same {
        // A key where only another item could stand: it belongs to the item before.
        Some(dash) if open.get(dash)?.key.is_none() && !wrong.trim_start().starts_with('-') => open.get(dash + 1)?,
        Some(_) => return None,
        None => match open.iter().find(|open| open.column > column) {
            Some(open) => open,
            None => open.last().filter(|open| open.has_value)?,
        },
    };
    let side = if target.column > column { "left" } else { "right" };
    let message = format!("{name:?} stands {side} of {:?} in line {}", target.key.unwrap_or("-"), target.line);
    Some((message, format!("indent it to column {}", target.column + 1)))
}

/// Collects what a line of this number could belong to, from the left to the right.
fn open_above(text: &str, number: usize) -> Vec<Open<'_>> {
    let mut open: Vec<Open<'_>> = Vec::new();
    // Text behind `|` or `>` is indented further than its key, and is no YAML.
    let mut scalar: Option<usize> = None;
    for (line, whole) in (1..number).zip(lines(text)) {
        let mut rest = whole.trim_start();
        let mut column = indent(whole);
        if rest.is_empty() || rest.starts_with('#') || scalar.is_some_and(|scalar| column > scalar) {
            continue;
        }
        scalar = None;
        open.retain(|open| open.column < column);
        while let Some(item) = rest.strip_prefix('-').filter(|item| item.is_empty() || item.starts_with(' ')) {
            open.push(Open { column, line, key: None, has_value: false });
            column += 1 + indent(item);
            rest = item.trim_start();
        }
        if let Some((key, value)) = key(rest) {
            if value.starts_with(['|', '>']) {
                scalar = Some(column);
            }
            let has_value = !value.is_empty() && !value.starts_with('#');
            open.push(Open { column, line, key: Some(key), has_value });
        }
    }
    open
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns the key of a line and the text behind it.
fn key(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches("- ").trim_end();
    let (key, value) = match line.strip_suffix(':') {
        Some(key) if !key.contains(": ") => (key, ""),
        _ => line.split_once(": ")?,
    };
    let is_plain = !key.is_empty() && !key.contains(['{', '[', '"', '\'', '#']);
    is_plain.then_some((key, value.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::explain;

    fn explained(text: &str, line: usize) -> Option<String> {
        explain(text, line).map(|(message, help)| format!("{message}; {help}"))
    }

    #[test]
    fn a_key_of_an_item_is_brought_below_the_others() {
        let text = "listeners:\n  - address: a\n    plugins:\n      - name: x\n      vm_config: {}\n";
        assert_eq!(
            explained(text, 5).as_deref(),
            Some("\"vm_config\" stands left of \"name\" in line 4; indent it to column 9")
        );
    }

    #[test]
    fn a_key_between_two_columns_goes_to_the_inner_one() {
        let text = "a:\n    b: 1\n  c: 2\n";
        assert_eq!(explained(text, 3).as_deref(), Some("\"c\" stands left of \"b\" in line 2; indent it to column 5"));
        let text = "a:\n    b: |\n        no: yaml\n  c: 2\n";
        assert_eq!(explained(text, 4).as_deref(), Some("\"c\" stands left of \"b\" in line 2; indent it to column 5"));
    }

    #[test]
    fn a_key_below_a_value_is_brought_back() {
        let text = "a: 1\n  b: 2\n";
        assert_eq!(explained(text, 2).as_deref(), Some("\"b\" stands right of \"a\" in line 1; indent it to column 1"));
    }

    #[test]
    fn other_mistakes_are_not_blamed_on_the_indentation() {
        for (text, line) in [("a: 1\nb: [\n", 2), ("a:\n  b: x: y\n", 2), ("", 1), ("a", 1), ("a: 1", 9), ("a: 1", 0)] {
            assert_eq!(explained(text, line), None, "{text}");
        }
    }
}
