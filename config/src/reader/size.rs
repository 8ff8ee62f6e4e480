//! Sizes in bytes: `65536`, `64KiB`, `1MiB`.

use std::ops::RangeInclusive;

use super::document::Read;
use super::value::{Kind, Value};

/// Parses a size within a range of bytes.
///
/// # Errors
/// The remedy.
pub fn parse_size(text: &str, range: &RangeInclusive<u64>) -> Result<usize, String> {
    parse(text).and_then(|bytes| check(bytes, range))
}

/// Reads a size in a range of bytes.
pub fn between(value: &Value<'_>, range: RangeInclusive<u64>) -> Read<usize> {
    let parsed = match value.kind() {
        Kind::Integer(number) => u64::try_from(number).map_err(|_| "a size cannot be negative".to_owned()),
        Kind::String(text) => parse(text),
        _ => Err("write a number of bytes, or one with KiB or MiB".to_owned()),
    };
    parsed
        .and_then(|bytes| check(bytes, &range))
        .map_err(|help| value.expected("a size such as 65536, 64KiB or 1MiB", help))
}

fn check(bytes: u64, range: &RangeInclusive<u64>) -> Result<usize, String> {
    match usize::try_from(bytes) {
        Ok(size) if range.contains(&bytes) => Ok(size),
        _ => Err(format!("choose one from {} to {}", shown(*range.start()), shown(*range.end()))),
    }
}

/// Returns a size in the largest unit that it is a multiple of.
fn shown(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(scale, _)| bytes.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{}{unit}", bytes / scale),
        None => format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    }
}

/// Parses a size; the error is the remedy.
fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let scale = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(unit_help(number, unit)),
    };
    let number: u64 = number.parse().map_err(|_| "start with a whole number".to_owned())?;
    Ok(number.saturating_mul(scale))
}

fn unit_help(number: &str, unit: &str) -> String {
    let right = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        _ => return "write a whole number, with KiB or MiB if you like".to_owned(),
    };
    format!("did you mean {number}{right}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: u64 = 1 << 30;

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [("512", 512), ("1B", 1), ("64KiB", 65536), ("1 MiB", 1 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_has_a_remedy() {
        for (text, remedy) in [
            ("1MB", "did you mean 1MiB?"),
            ("64k", "did you mean 64KiB?"),
            ("MiB", "start with a whole number"),
            ("1.5MiB", "write a whole number, with KiB or MiB if you like"),
            ("2GiB", "choose one from 1 byte to 1GiB"),
            ("0", "choose one from 1 byte to 1GiB"),
        ] {
            assert_eq!(parse(text).and_then(|bytes| check(bytes, &(1..=LARGEST))), Err(remedy.to_owned()), "{text}");
        }
    }
}
