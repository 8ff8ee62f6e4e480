//! The time at the start of a line.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Adds the time of day, UTC, to the microsecond (RFC 3339).
pub(super) fn push_now(line: &mut Vec<u8>) {
    push(line, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
}

/// `2026-01-01T00:00:00.`
type Second = [u8; 20];

thread_local! {
    /// The second of this thread's last line, and how it is written: most lines share theirs with the line before.
    static LAST: Cell<(u64, Second)> = const { Cell::new((0, *b"1970-01-01T00:00:00.")) };
}

fn push(line: &mut Vec<u8>, since_1970: Duration) {
    let (mut seconds, mut text) = LAST.get();
    if seconds != since_1970.as_secs() {
        seconds = since_1970.as_secs();
        text = formatted(seconds);
        LAST.set((seconds, text));
    }
    let mut micros = *b"000000Z";
    let mut rest = since_1970.subsec_micros();
    for digit in micros.iter_mut().rev().skip(1) {
        *digit += u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    line.extend_from_slice(&text);
    line.extend_from_slice(&micros);
}

fn formatted(seconds: u64) -> Second {
    /// The first second of the year 10000, which the format does not have.
    const END: u64 = 253_402_300_800;
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(END - 1));
    // Its milliseconds follow the point.
    let text = humantime::format_rfc3339_millis(time).to_string();
    text.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(time: Duration) -> String {
        let mut text = Vec::new();
        push(&mut text, time);
        String::from_utf8_lossy(&text).into_owned()
    }

    proptest! {
        /// A second that was written before is written as another would be.
        #[test]
        fn times_are_written_as_humantime_writes_them(
            seconds in 0_u64..253_402_300_800,
            after in proptest::collection::vec((0_u64..3, 0_u32..1_000_000_000), 1..5),
        ) {
            for (more, nanos) in after {
                let time = Duration::new(seconds.saturating_add(more).min(253_402_300_799), nanos);
                prop_assert_eq!(written(time), humantime::format_rfc3339_micros(UNIX_EPOCH + time).to_string());
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_by_ages_writes_a_line_all_the_same() {
        assert!(written(Duration::from_secs(u64::MAX)).starts_with("9999-12-31T23:59:59."));
    }
}
