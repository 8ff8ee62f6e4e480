use bytes::Bytes;

use crate::abi::pairs;
use crate::fuzzing::Input;
use crate::model::body::Body;
use crate::model::headers::Headers;
use crate::resources::grpc::GrpcService;

/// Reads `GrpcService` messages and pairs, as guests write them, and changes bodies, as guests ask for: no byte is lost or
/// made.
pub fn messages(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => {
            if let Some(service) = GrpcService::parse(input.rest()) {
                assert!(service.metadata.len() <= pairs::MAX_COUNT);
                assert_ne!(service.authority.as_deref(), Some(""));
            }
        }
        1 => as_pairs(input.rest()),
        _ => as_body(input),
    }
}

fn as_pairs(bytes: &[u8]) {
    let Ok(headers) = pairs::decode(bytes) else { return };
    let mut written = vec![0; headers.serialized_len()];
    assert!(pairs::encode_into(&headers, &mut written));
    assert_eq!(pairs::decode(&written).as_ref(), Ok(&headers), "what is written is read as the same");
    let mut made = Headers::new();
    headers.iter().for_each(|(name, value)| made.add(name, value));
    assert_eq!(made, headers);
    for (name, _) in headers.iter() {
        let values = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        assert!(headers.get_all(name).eq(values));
        let mut others = Headers::new();
        let rest = headers.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name));
        rest.for_each(|(name, value)| others.add(name, value));
        let mut changed = headers.clone();
        changed.replace(name, b"new");
        assert!(changed.get_all(name).eq([&b"new"[..]]));
        assert!(changed.remove(name) && changed == others);
    }
}

/// A body and a vector, to which the same is done.
fn as_body(mut input: Input<'_>) {
    let (mut body, mut plain) = (Body::new(), Vec::new());
    while !input.is_empty() {
        match input.byte() % 4 {
            0 => {
                let chunk = input.bytes();
                body.push(Bytes::copy_from_slice(chunk));
                plain.extend_from_slice(chunk);
            }
            1 => {
                let (start, size) = (input.number(2) as usize, input.number(2) as usize);
                let new = input.bytes();
                body.splice(start, size, Bytes::copy_from_slice(new));
                // A range beyond the end is cut to it.
                let start = start.min(plain.len());
                let size = size.min(plain.len() - start);
                plain.splice(start..start + size, new.iter().copied());
            }
            2 => {
                let (start, len) = (input.number(2) as usize, input.number(2) as usize);
                let mut out = vec![0; len];
                let expected = plain.get(start..).and_then(|rest| rest.get(..len));
                let copied = body.copy_to(start, &mut out);
                if let Some(expected) = expected {
                    assert!(copied && out == expected);
                } else {
                    assert!(!copied || len == 0, "bytes that are not there were copied");
                }
            }
            _ => {
                if let Some(first) = body.pop() {
                    assert_eq!(plain.get(..first.len()), Some(&*first));
                    plain.drain(..first.len());
                }
            }
        }
        assert_eq!(body.len(), plain.len());
    }
    assert_eq!(*body.to_bytes(), plain);
}
