//! The expected answer of an attribute.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// The outcome of reading a property.
///
/// A shape is as narrow as what it stands for allows: no shape takes an empty value, zero, or a number of another width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// `1`: the status, and no value.
    Status(i64),
    /// `'text'`: these bytes, as [`u8::escape_ascii`] writes them.
    Bytes(&'a str),
    /// `int:5`: this number in eight bytes.
    Int(i64),
    /// `bool:1`: this truth in one byte.
    Bool(u8),
    /// `time`: Unix nanoseconds in eight bytes, within an hour of the kit's clock.
    Time,
    /// `duration`: nanoseconds in eight bytes, from 100 of them to a minute: what waits for nothing takes little.
    Duration,
    /// `int:1-9`: a number from one to another in eight bytes.
    Range(i64, i64),
    /// `port`: the number of a port in eight bytes.
    Port,
    /// `address`: an address with a port, such as `127.0.0.1:80`.
    Address,
    /// `uuid`: a random UUID as text.
    Uuid,
    /// `pairs:a,b`: a map as pairs, which has these keys and maybe others.
    Pairs(&'a str),
}

const HOUR: i64 = 3_600_000_000_000;

impl<'a> Cell<'a> {
    /// Reads a cell; `None` if there is no such shape.
    pub fn read(text: &'a str) -> Option<Self> {
        if let Some(bytes) = text.strip_prefix('\'') {
            return bytes.strip_suffix('\'').map(Self::Bytes);
        }
        match text.split_once(':') {
            Some(("int", number)) => match number.split_once('-') {
                Some((least, most)) => Some(Self::Range(least.parse().ok()?, most.parse().ok()?)),
                None => number.parse().ok().map(Self::Int),
            },
            Some(("bool", truth)) => truth.parse().ok().filter(|truth| *truth < 2).map(Self::Bool),
            Some(("pairs", keys)) => Some(Self::Pairs(keys)).filter(|_| !keys.is_empty()),
            Some(_) => None,
            None => SHAPES.iter().find(|(name, _)| *name == text).map(|(_, shape)| *shape).or_else(|| {
                let status = text.parse().ok().filter(|status| *status != 0);
                status.map(Self::Status)
            }),
        }
    }

    /// Returns whether a status and a value are what the cell says.
    pub fn fits(self, status: i64, value: &[u8]) -> bool {
        let number = <[u8; 8]>::try_from(value).map(i64::from_le_bytes).ok();
        let is_in = |range: std::ops::RangeInclusive<i64>| number.is_some_and(|number| range.contains(&number));
        if let Self::Status(wanted) = self {
            return status == wanted;
        }
        status == 0
            && match self {
                Self::Status(_) => false,
                Self::Bytes(text) => value.escape_ascii().to_string() == text,
                Self::Int(wanted) => number == Some(wanted),
                Self::Bool(wanted) => value == [wanted],
                Self::Time => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
                    is_in(now - HOUR..=now.saturating_add(HOUR))
                }
                Self::Duration => is_in(100..=HOUR / 60),
                Self::Range(least, most) => is_in(least..=most),
                Self::Port => is_in(1..=u16::MAX.into()),
                Self::Address => {
                    let address = std::str::from_utf8(value).ok().and_then(|text| text.parse::<SocketAddr>().ok());
                    address.is_some_and(|address| address.port() != 0 && !address.ip().is_unspecified())
                }
                Self::Uuid => is_uuid(value),
                Self::Pairs(keys) => pairs(value).is_some_and(|found| {
                    keys.split(',').all(|key| found.iter().any(|(name, _)| *name == key.as_bytes()))
                }),
            }
    }

    /// Describes what was read: as the cell that was expected, if that fits, else as the narrowest that is the same in
    /// each run. `expected` may be several cells with semicolons between, of which one has to fit.
    pub fn describe(expected: &str, status: i64, value: &[u8]) -> String {
        let fits = |cell| Cell::read(cell).is_some_and(|cell| cell.fits(status, value));
        if expected.split(';').any(fits) {
            return expected.to_owned();
        }
        if status != 0 {
            return status.to_string();
        }
        if let Some((name, _)) = SHAPES.iter().take(TELLING).find(|(_, shape)| shape.fits(status, value)) {
            return (*name).to_owned();
        }
        match (<[u8; 8]>::try_from(value), value) {
            (Ok(number), _) if !value.iter().all(u8::is_ascii_graphic) => {
                format!("int:{}", i64::from_le_bytes(number))
            }
            (_, [truth @ 0..=1]) => format!("bool:{truth}"),
            _ => match pairs(value).filter(|pairs| !pairs.is_empty()) {
                Some(pairs) => {
                    let keys = pairs.iter().map(|(key, _)| key.escape_ascii().to_string());
                    format!("pairs:{}", keys.collect::<Vec<_>>().join(","))
                }
                None => format!("'{}'", value.escape_ascii().to_string().replace(' ', "\\x20")),
            },
        }
    }
}

/// The shapes by name. The first [`TELLING`] fit nothing by chance.
const SHAPES: &[(&str, Cell<'static>)] = &[
    ("time", Cell::Time),
    ("address", Cell::Address),
    ("uuid", Cell::Uuid),
    ("duration", Cell::Duration),
    ("port", Cell::Port),
];

const TELLING: usize = 3;

/// Returns whether this is a UUID of version 4 or 7, in lower case.
fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
        && value.iter().any(|byte| !matches!(byte, b'0' | b'-'))
}

/// Reads pairs: a count, the lengths of each name and value, then names and values with a zero byte behind each.
fn pairs(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (count, mut rest) = word(bytes)?;
    let mut lengths = Vec::new();
    for _ in 0..count {
        let (name, value);
        (name, rest) = word(rest)?;
        (value, rest) = word(rest)?;
        lengths.push((name, value));
    }
    let mut pairs = Vec::new();
    for (name, value) in lengths {
        let (name_bytes, value_bytes);
        (name_bytes, rest) = text(rest, name)?;
        (value_bytes, rest) = text(rest, value)?;
        pairs.push((name_bytes, value_bytes));
    }
    rest.is_empty().then_some(pairs)
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn text(bytes: &[u8], len: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(len)?;
    Some((text, rest.strip_prefix(&[0])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(cell: &str, value: &[u8]) -> bool {
        Cell::read(cell).unwrap_or_else(|| panic!("{cell} is no cell")).fits(0, value)
    }

    #[test]
    fn every_shape_can_fail() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or_default().to_le_bytes();
        let number = |number: i64| number.to_le_bytes().to_vec();
        let uuid = b"2f3c1b9e-8a7d-4c5b-9e0f-1a2b3c4d5e6f";
        let pairs = b"\x01\0\0\0\x01\0\0\0\x02\0\0\0a\0bc\0";
        let good: [(&str, Vec<u8>); 10] = [
            ("'a\\x00b'", b"a\0b".to_vec()),
            ("int:5", number(5)),
            ("bool:0", vec![0]),
            ("time", now.to_vec()),
            ("duration", number(5_000)),
            ("int:1-9", number(2)),
            ("port", number(65_535)),
            ("address", b"127.0.0.1:80".to_vec()),
            ("uuid", uuid.to_vec()),
            ("pairs:a", pairs.to_vec()),
        ];
        for (cell, value) in good {
            assert!(fits(cell, &value), "{cell} {value:?}");
            assert!(!Cell::read(cell).is_some_and(|cell| cell.fits(1, &value)), "{cell}: with another status");
            for bad in [&[][..], &[0; 8], &[0; 4], &[7; 9], &[b"x", &value[..]].concat(), &[&value[..], &[0]].concat()]
            {
                assert!(!fits(cell, bad), "{cell} {bad:?}");
            }
        }
        for (cell, value) in [
            ("time", number(1_500_000_000_000_000_000)),
            ("duration", number(99)),
            ("duration", number(60_000_000_001)),
            ("int:1-9", number(10)),
            ("int:1-9", number(-1)),
            ("port", number(65_536)),
            ("address", b"127.0.0.1".to_vec()),
            ("address", b"127.0.0.1:0".to_vec()),
            ("address", b"0.0.0.0:80".to_vec()),
            ("uuid", b"00000000-0000-0000-0000-000000000000".to_vec()),
            ("uuid", uuid.to_ascii_uppercase()),
            ("pairs:b", pairs.to_vec()),
            ("pairs:a,b", pairs.to_vec()),
        ] {
            assert!(!fits(cell, &value), "{cell} {value:?}");
        }
        assert!(Cell::read("1").is_some_and(|cell| cell.fits(1, b"") && !cell.fits(0, b"") && !cell.fits(3, b"")));
    }

    #[test]
    fn what_is_no_cell_is_told() {
        for text in ["", "0", "'", "int:x", "int:1-", "bool:2", "pairs:", "shape", "x:1"] {
            assert_eq!(Cell::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_read_is_described_alike_in_each_run() {
        for (status, value, told) in [
            (1, &b""[..], "1"),
            (0, b"", "''"),
            (0, b"HTTP/1.1", "'HTTP/1.1'"),
            (0, b"a b", "'a\\x20b'"),
            (0, b"127.0.0.1:4711", "address"),
            (0, &[5, 0, 0, 0, 0, 0, 0, 0], "int:5"),
            (0, &[0], "bool:0"),
            (0, b"\x01\0\0\0\x01\0\0\0\x02\0\0\0a\0bc\0", "pairs:a"),
        ] {
            assert_eq!(Cell::describe("'other'", status, value), told);
        }
        assert_eq!(Cell::describe("1;int:1-9", 0, &[5, 0, 0, 0, 0, 0, 0, 0]), "1;int:1-9");
        assert_eq!(Cell::describe("1;int:1-9", 1, b""), "1;int:1-9");
        assert_eq!(Cell::describe("1;int:1-9", 3, b""), "3");
    }
}
