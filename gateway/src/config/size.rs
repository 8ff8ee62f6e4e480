//! Sizes in bytes: `65536`, `64KiB`, `1MiB`.

use super::document::Read;
use super::value::{Kind, Value};

/// Reads a size of at least one byte.
pub(super) fn read(value: &Value<'_>) -> Read<usize> {
    let parsed = match value.kind() {
        Kind::Integer(number) => u64::try_from(number).map_err(|_| "a size cannot be negative".to_owned()),
        Kind::String(text) => parse(text),
        _ => Err("write a number of bytes, or one with KiB or MiB".to_owned()),
    };
    parsed.and_then(check).map_err(|help| value.expected("a size such as 65536, 64KiB or 1MiB", help))
}

const LARGEST: u64 = 1 << 30;

fn check(bytes: u64) -> Result<usize, String> {
    match usize::try_from(bytes) {
        Ok(size) if (1..=LARGEST).contains(&bytes) => Ok(size),
        _ => Err("choose one from 1 byte to 1GiB".to_owned()),
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
            assert_eq!(parse(text).and_then(check), Err(remedy.to_owned()), "{text}");
        }
    }
}
