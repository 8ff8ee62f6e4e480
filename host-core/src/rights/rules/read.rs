//! How the texts of rules are read.

use std::ops::RangeInclusive;

use super::super::rate::RateLimiter;

/// Reads a rate: `100/s`, `5/m`, `1/h`; a number alone is for a second.
pub(super) fn rate(text: &str) -> Result<RateLimiter, String> {
    let (amount, period) = split_rate(text)?;
    let amount = amount.parse().map_err(|_| format!("{text:?} is no rate; write one like 100/s"))?;
    Ok(RateLimiter::new(amount, period))
}

/// Reads a rate of bytes: `64KiB/s`.
pub(super) fn byte_rate(text: &str) -> Result<RateLimiter, String> {
    let (amount, period) = split_rate(text)?;
    let amount = size(amount).map_err(|_| format!("{text:?} is no rate of bytes; write one like 64KiB/s"))?;
    Ok(RateLimiter::new(amount as u64, period))
}

/// Reads a size: `512`, `64KiB`, `1MiB`, `1GiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| format!("{text:?} is no size; write one like 64KiB"))
}

pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is no number; write one like 10"))
}

/// Reads statuses: `401`, `4xx`, `500-503`.
pub(super) fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let one = |text: &str| text.parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    let range = match (text.strip_suffix("xx"), text.split_once('-')) {
        (Some(class), _) => class
            .parse::<u16>()
            .ok()
            .filter(|class| (2..=5).contains(class))
            .map(|class| class * 100..=class * 100 + 99),
        (None, Some((first, last))) => {
            one(first).zip(one(last)).filter(|(first, last)| first <= last).map(|(first, last)| first..=last)
        }
        (None, None) => one(text).map(|status| status..=status),
    };
    range.ok_or_else(|| format!("{text:?} is no status; write one like 401, 4xx or 500-503"))
}

fn split_rate(text: &str) -> Result<(&str, u64), String> {
    const SECOND: u64 = 1_000_000_000;
    let (amount, unit) = text.split_once('/').unwrap_or((text, "s"));
    let period = match unit {
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => return Err(format!("{text:?} has no unit of time that is known; write /s, /m or /h")),
    };
    Ok((amount, period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_statuses_and_rates_are_read() {
        assert_eq!((size("12"), size("64KiB"), size("1MiB")), (Ok(12), Ok(65536), Ok(1 << 20)));
        for wrong in ["", "KiB", "1kb", "-1", "99999999999999999999", "18446744073709551615GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (statuses("401"), statuses("4xx"), statuses("500-503")),
            (Ok(401..=401), Ok(400..=499), Ok(500..=503))
        );
        for wrong in ["", "99", "1xx", "600", "503-500", "xx", "-"] {
            assert!(statuses(wrong).is_err(), "{wrong}");
        }
        assert!(rate("2/s").is_ok_and(|flow| flow.take(2, 0) && !flow.take(1, 0)));
        assert!(
            rate("1/h").is_ok_and(|flow| flow.take(1, 0)
                && !flow.take(1, 3_599_999_999_999)
                && flow.take(1, 3_600_000_000_000))
        );
        assert!(byte_rate("1KiB/m").is_ok_and(|flow| flow.take(1024, 0) && !flow.take(1, 0)));
        for wrong in ["", "/s", "1/d", "x/s", "1KiB/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
