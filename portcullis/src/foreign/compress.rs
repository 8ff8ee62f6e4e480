use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use portcullis_core::abi::Status;
use portcullis_core::resources::ForeignCall;

/// The most bytes that go in or come out.
const MOST: usize = 16 << 20;

pub(super) fn compress(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    if call.arguments.len() > MOST {
        return Err(Status::BadArgument);
    }
    let mut encoder = ZlibEncoder::new(&mut *call.result, Compression::default());
    encoder.write_all(call.arguments).and_then(|()| encoder.finish().map(drop)).map_err(|_| Status::InternalFailure)
}

pub(super) fn uncompress(call: &mut ForeignCall<'_>) -> Result<(), Status> {
    if call.arguments.len() > MOST {
        return Err(Status::BadArgument);
    }
    let limit = u64::try_from(MOST).unwrap_or(u64::MAX) + 1;
    let read = ZlibDecoder::new(call.arguments).take(limit).read_to_end(call.result);
    let too_long = call.result.len() > MOST;
    if read.is_err() || too_long {
        call.result.clear();
        return Err(if too_long { Status::InternalFailure } else { Status::SerializationFailure });
    }
    Ok(())
}
