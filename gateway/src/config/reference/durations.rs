//! A regular expression of the durations in a range, for the schema.

use portcullis_config::reader::duration::UNITS;

/// Digits behind the point.
const PLACES: usize = 9;

/// Returns a regular expression of the durations from so many seconds to so many, as the reader reads them. `most` is a whole number of
/// hours, and so of every unit, and more than `least`.
pub(super) fn pattern(least: u64, most: u64) -> String {
    debug_assert!(most.is_multiple_of(3600) && least < most, "no key has another range: {least} to {most}");
    let units: Vec<String> = UNITS.iter().map(|(unit, scale)| in_unit(unit, *scale, least, most)).collect();
    format!("^({})$", units.join("|"))
}

/// Returns an expression of the durations that are written in one unit.
fn in_unit(unit: &str, scale: u128, least: u64, most: u64) -> String {
    const ONE: u128 = 10_u128.pow(PLACES as u32);
    let nanos = |seconds: u64| u128::from(seconds) * 1_000_000_000;
    // In billionths of the unit.
    let least = (nanos(least) * ONE).div_ceil(scale);
    let (low, low_part, high) = (least / ONE, least % ONE, nanos(most) / scale);
    let mut forms = Vec::new();
    match low_part {
        0 => forms.push(format!(r"{low}(\.\d{{1,{PLACES}}})?")),
        part => forms.push(format!(r"{low}\.{}", at_least_part(&format!("{part:0PLACES$}")))),
    }
    if low + 1 < high {
        forms.push(format!(r"{}(\.\d{{1,{PLACES}}})?", whole(low + 1, high - 1)));
    }
    forms.push(format!(r"{high}(\.0{{1,{PLACES}}})?"));
    format!("0*({}){unit}", forms.join("|"))
}

/// Returns an expression of the digits behind a point that are no fewer than these.
fn at_least_part(digits: &str) -> String {
    let digits = digits.trim_end_matches('0');
    let mut forms = vec![format!(r"{digits}\d{{0,{}}}", PLACES - digits.len())];
    for (place, digit) in digits.bytes().enumerate().filter(|(_, digit)| *digit < b'9') {
        forms.push(format!(
            r"{}{}\d{{0,{}}}",
            digits.get(..place).unwrap_or_default(),
            from_to(digit + 1, b'9'),
            PLACES - place - 1
        ));
    }
    format!("({})", forms.join("|"))
}

/// Returns an expression of the whole numbers from one to another.
fn whole(least: u128, most: u128) -> String {
    let mut forms = Vec::new();
    let mut from = least;
    while from <= most {
        let longest = 10_u128.pow(from.to_string().len() as u32) - 1;
        let to = longest.min(most);
        forms.push(of_length(&from.to_string(), &to.to_string()));
        from = to + 1;
    }
    format!("({})", forms.join("|"))
}

/// Returns an expression of the numbers between two that have as many digits.
fn of_length(least: &str, most: &str) -> String {
    let (Some((low, low_rest)), Some((high, high_rest))) = (split(least), split(most)) else { return String::new() };
    let rest = low_rest.len();
    if low_rest.bytes().all(|digit| digit == b'0') && high_rest.bytes().all(|digit| digit == b'9') {
        return format!("{}{}", from_to(low, high), any(rest));
    }
    if low == high {
        return format!("{}{}", char::from(low), of_length(low_rest, high_rest));
    }
    let mut forms = vec![
        format!("{}{}", char::from(low), of_length(low_rest, &"9".repeat(rest))),
        format!("{}{}", char::from(high), of_length(&"0".repeat(rest), high_rest)),
    ];
    if low + 1 < high {
        forms.push(format!("{}{}", from_to(low + 1, high - 1), any(rest)));
    }
    format!("({})", forms.join("|"))
}

fn split(digits: &str) -> Option<(u8, &str)> {
    Some((*digits.as_bytes().first()?, digits.get(1..)?))
}

fn from_to(low: u8, high: u8) -> String {
    let (low, high) = (char::from(low), char::from(high));
    if low == high { low.to_string() } else { format!("[{low}-{high}]") }
}

fn any(digits: usize) -> String {
    match digits {
        0 => String::new(),
        1 => r"\d".to_owned(),
        _ => format!(r"\d{{{digits}}}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use portcullis_config::reader::duration::parse_duration;
    use regex::bytes::Regex;

    use super::*;

    #[test]
    fn the_pattern_takes_what_the_reader_takes() {
        let numbers = [
            "0",
            "1",
            "2",
            "9",
            "10",
            "23",
            "24",
            "25",
            "59",
            "60",
            "61",
            "99",
            "100",
            "999",
            "1000",
            "1001",
            "1439",
            "1440",
            "1441",
            "3600",
            "8759",
            "8760",
            "8761",
            "86399",
            "86400",
            "86401",
            "525600",
            "525601",
            "999999",
            "1000000",
            "31535999",
            "31536000",
            "31536001",
            "86399999",
            "86400000",
            "86400001",
            "86400000000",
            "86400000001",
            "31536000000000",
            "31536000000001",
            "99999999999999999999",
        ];
        let parts = [
            "",
            ".0",
            ".5",
            ".000000001",
            ".999999999",
            ".016666666",
            ".016666667",
            ".02",
            ".000277777",
            ".000277778",
            ".0003",
            ".1234567890",
        ];
        for (least, most) in [(1, 24 * 3600), (1, 365 * 24 * 3600), (90, 2 * 3600)] {
            let pattern = Regex::new(&format!("(?-u){}", pattern(least, most))).unwrap();
            let range = Duration::from_secs(least)..=Duration::from_secs(most);
            for (number, part, (unit, _)) in numbers.iter().flat_map(|number| {
                parts.iter().flat_map(move |part| UNITS.iter().map(move |unit| (number, part, unit)))
            }) {
                for zeros in ["", "00"] {
                    let text = format!("{zeros}{number}{part}{unit}");
                    // The reader cuts off a fraction of a nanosecond; the pattern takes none above the most.
                    let is_above =
                        |duration| duration == *range.end() && part.contains(|digit| matches!(digit, '1'..='9'));
                    let reads =
                        parse_duration(&text).is_ok_and(|duration| range.contains(&duration) && !is_above(duration));
                    assert_eq!(pattern.is_match(text.as_bytes()), reads, "{text} from {least}s to {most}s");
                }
            }
        }
    }
}
