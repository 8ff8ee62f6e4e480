//! The `GrpcService` message in which plugins for Envoy name an upstream
//! (`envoy.config.core.v3.GrpcService`), as far as it has a meaning here.

use std::time::Duration;

use crate::abi::pairs;
use crate::model::headers::Headers;

/// The contents of a `GrpcService` message. Fields that mean nothing here are skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GrpcService {
    /// `envoy_grpc.cluster_name`; empty if the message has another target (`google_grpc`) or none.
    pub(crate) cluster: String,
    /// `envoy_grpc.authority`.
    pub(crate) authority: Option<String>,
    /// `timeout`, of 0 or more.
    pub(crate) timeout: Option<Duration>,
    /// `initial_metadata`.
    pub(crate) metadata: Headers,
}

impl GrpcService {
    /// Reads a message of up to 1 MiB and 1024 headers; `None` if it is none.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let mut service = Self::default();
        if message.len() > pairs::MAX_BYTES {
            return None;
        }
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(target)) => {
                    for field in Fields(target) {
                        match field? {
                            (1, Value::Bytes(name)) => service.cluster = text(name)?,
                            (2, Value::Bytes(name)) => service.authority = Some(text(name)?).filter(|a| !a.is_empty()),
                            _ => {}
                        }
                    }
                }
                (3, Value::Bytes(duration)) => service.timeout = timeout(duration)?,
                (5, Value::Bytes(header)) => {
                    let (mut name, mut value) = (&[][..], &[][..]);
                    for field in Fields(header) {
                        match field? {
                            (1, Value::Bytes(bytes)) => name = bytes,
                            (2 | 3, Value::Bytes(bytes)) => value = bytes,
                            _ => {}
                        }
                    }
                    if service.metadata.len() == pairs::MAX_COUNT {
                        return None;
                    }
                    service.metadata.add(name, value);
                }
                _ => {}
            }
        }
        Some(service)
    }
}

/// Reads a `google.protobuf.Duration`. Returns none for a negative one.
fn timeout(message: &[u8]) -> Option<Option<Duration>> {
    let (mut seconds, mut nanos) = (0_u64, 0_u64);
    for field in Fields(message) {
        match field? {
            (1, Value::Number(number)) => seconds = number,
            (2, Value::Number(number)) => nanos = number,
            _ => {}
        }
    }
    let valid = seconds <= i64::MAX.cast_unsigned() && nanos < 1_000_000_000;
    Some(valid.then(|| Duration::from_secs(seconds) + Duration::from_nanos(nanos)))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size; none that we read.
    Fixed,
}

/// The fields of a protobuf message; `None` for what is none, and then nothing more.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let number = Some(tag >> 3).filter(|number| (1..1 << 29).contains(number))?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(usize::try_from(len).ok()?)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for i in 0..10 {
            let byte = *self.take(1)?.first()?;
            // The tenth byte has room for one bit.
            if i == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_names_an_upstream_is_read() {
        // { envoy_grpc { cluster_name: "auth" authority: "a" } timeout { seconds: 1 nanos: 5 }
        //   initial_metadata { key: "k" value: "v" } }, and a field that nobody knows.
        let message = b"\x0a\x09\x0a\x04auth\x12\x01a\x1a\x04\x08\x01\x10\x05\x2a\x06\x0a\x01k\x12\x01v\x78\x01";
        let expected = GrpcService {
            cluster: "auth".to_owned(),
            authority: Some("a".to_owned()),
            timeout: Some(Duration::new(1, 5)),
            metadata: [("k", "v")].into_iter().collect(),
        };
        assert_eq!(GrpcService::parse(message), Some(expected));
        assert_eq!(GrpcService::parse(b"\x12\x03\x0a\x01x"), Some(GrpcService::default()), "google_grpc");
    }

    #[test]
    fn what_is_no_message_is_none() {
        for bad in [&b"\x0a\x09\x0a"[..], b"auth", b"\x00\x00", b"\x0b", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"] {
            assert_eq!(GrpcService::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_bounded() {
        let empty_header = b"\x2a\x00";
        let headers = |count| GrpcService::parse(&empty_header.repeat(count)).map(|service| service.metadata.len());
        assert_eq!((headers(1024), headers(1025)), (Some(1024), None));
        let skipped = |count| GrpcService::parse(&b"\x78\x01".repeat(count)).is_some();
        assert!(skipped(1 << 19) && !skipped((1 << 19) + 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes: Vec<u8>) {
            let _ = GrpcService::parse(&bytes);
        }
    }
}
