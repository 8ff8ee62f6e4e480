#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a finding")]

use bytes::Bytes;
use portcullis_core::fuzzing::Input;

use super::frame::{Decoder, encode};
use super::status;

const MAX: usize = 64;

/// Takes messages out of a body that comes in any pieces: they are those that a plain reading finds, and end where it ends.
/// Status, message and percent-encoding of trailers are read without a panic.
pub fn frames(data: &[u8]) {
    let mut input = Input::new(data);
    let sizes = input.bytes();
    let body = input.rest();
    let (expected, fails) = plain(body);

    let (mut decoder, mut found, mut failed) = (Decoder::new(MAX), Vec::new(), false);
    let (mut rest, mut sizes) = (body, sizes.iter().cycle());
    loop {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size)).clamp(1, rest.len().max(1));
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        decoder.push(Bytes::copy_from_slice(piece));
        rest = behind;
        while !failed {
            match decoder.next() {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    assert!(matches!(error.code, status::INTERNAL | status::RESOURCE_EXHAUSTED));
                    failed = true;
                }
            }
        }
        if failed || rest.is_empty() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(failed || decoder.finish().is_err(), fails);
    let again: Vec<u8> = found.iter().flat_map(|message| encode(Bytes::copy_from_slice(message))).flatten().collect();
    assert_eq!(body.get(..again.len()), Some(&*again), "what is encoded is what came");
}

/// Returns the messages, and whether something else follows.
fn plain(mut body: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Vec::new();
    while let Some(([0, len @ ..], rest)) = body.split_first_chunk::<5>() {
        let len = u32::from_be_bytes(*len) as usize;
        match rest.split_at_checked(len) {
            Some((message, rest)) if len <= MAX => {
                messages.push(message.to_vec());
                body = rest;
            }
            _ => break,
        }
    }
    (messages, !body.is_empty())
}
