//! Durations: `250ms`, `1s`, `1.5s`, `2m`, `1h`; also Envoy's `0.25s`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Read;
use super::value::{Kind, Value};

/// Reads a duration.
pub fn read(value: &Value<'_>) -> Read<Duration> {
    let what = "a duration such as 250ms or 1.5s";
    match value.kind() {
        Kind::String(text) => parse(text).map_err(|help| value.expected(what, help)),
        Kind::Integer(_) | Kind::Float(_) => {
            let number = value.source();
            Err(value.expected(what, format!("add the unit: {number}s or {number}ms")))
        }
        _ => Err(value.expected(what, "write a number and its unit: us, ms, s, m or h")),
    }
}

/// Reads a duration that has to be longer than nothing.
pub fn positive(value: &Value<'_>) -> Read<Duration> {
    match read(value)? {
        Duration::ZERO => Err(value.expected("a duration longer than 0s", "write one such as 250ms or 5s")),
        duration => Ok(duration),
    }
}

/// Reads a duration within a range of seconds.
pub fn between(value: &Value<'_>, range: &RangeInclusive<u64>) -> Read<Duration> {
    let (least, most) = (*range.start(), *range.end());
    match read(value)? {
        duration if (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&duration) => Ok(duration),
        _ => {
            let what = format!("a duration from {} to {}", seconds(least), seconds(most));
            Err(value.expected(what, "choose one in this range"))
        }
    }
}

/// Writes whole seconds, in hours if they are whole ones.
pub fn seconds(seconds: u64) -> String {
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ => format!("{seconds}s"),
    }
}

/// Writes a duration as [`read`] reads it.
pub fn format(duration: Duration) -> String {
    const MILLISECOND: u32 = 1_000_000;
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    match nanos {
        0 => format!("{seconds}s"),
        _ if nanos % MILLISECOND == 0 => format!("{}ms", duration.as_millis()),
        _ => format!("{seconds}.{}s", format!("{nanos:09}").trim_end_matches('0')),
    }
}

/// The units of durations, and how many nanoseconds each has.
pub const UNITS: &[(&str, u128)] =
    &[("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Parses a duration longer than zero.
///
/// # Errors
/// Returns the text to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("write one longer than 0s, such as 250ms or 5s".to_owned()),
        duration => Ok(duration),
    }
}

/// Parses a duration; the error is the remedy.
fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if text.starts_with('-') {
        return Err("a duration cannot be negative".to_owned());
    }
    if number.is_empty() {
        return Err("start with a number".to_owned());
    }
    if unit.is_empty() {
        return Err(format!("add the unit: {number}s or {number}ms"));
    }
    let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("the units are us, ms, s, m and h, not {unit:?}"));
    };
    let duration = nanoseconds(number, *scale).ok_or("write digits with at most one point, nine of them behind it")?;
    if duration > LONGEST {
        return Err("the longest duration is 8760h, a year".to_owned());
    }
    Ok(duration)
}

/// Returns `number` times `scale`, exactly. None if it is no number.
fn nanoseconds(number: &str, scale: u128) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part = fraction.parse::<u128>().ok()? * scale / 10u128.pow(fraction.len() as u32);
    let nanos = whole.saturating_mul(scale).saturating_add(part);
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Some(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_back() {
        for (text, milliseconds, back) in [
            ("250ms", 250, "250ms"),
            ("0.25s", 250, "250ms"),
            ("1s", 1000, "1s"),
            ("1.5s", 1500, "1500ms"),
            ("2m", 120_000, "120s"),
            ("1h", 3_600_000, "3600s"),
            ("0s", 0, "0s"),
            ("1500us", 1, "0.0015s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration.as_millis(), milliseconds, "{text}");
            assert_eq!(format(duration), back);
            assert_eq!(parse(back), Ok(duration));
        }
    }

    #[test]
    fn a_fraction_of_a_nanosecond_is_cut_off() {
        assert_eq!(parse("0.000000001s"), Ok(Duration::from_nanos(1)));
        assert_eq!(parse("0.000000001ms"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_has_a_remedy() {
        for (text, remedy) in [
            ("5", "add the unit: 5s or 5ms"),
            ("5sec", "the units are us, ms, s, m and h, not \"sec\""),
            ("s", "start with a number"),
            ("", "start with a number"),
            ("-1s", "a duration cannot be negative"),
            ("1.2.3s", "write digits with at most one point, nine of them behind it"),
            ("1.s", "write digits with at most one point, nine of them behind it"),
            ("9000h", "the longest duration is 8760h, a year"),
            ("99999999999999999999999999999999999999h", "the longest duration is 8760h, a year"),
        ] {
            assert_eq!(parse(text), Err(remedy.to_owned()), "{text}");
        }
    }
}
