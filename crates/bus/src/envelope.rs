//! Headers and a payload as one run of bytes: what a work queue and a dead letter are stored as.
//!
//! ```text
//! count u16, then for each header: name_len u16, value_len u32, name, value; then the payload
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, ErrorKind};
use crate::message::Headers;

/// Most headers of a message.
const HEADERS_MAX: usize = 1_000;

pub(crate) fn encode(headers: &Headers, payload: &[u8]) -> Result<Bytes, Error> {
    if headers.len() > HEADERS_MAX {
        return Err(too_many());
    }
    encode_any(headers, payload)
}

fn too_many() -> Error {
    Error::new(ErrorKind::Schema, "headers that are too many or too long")
}

/// As `encode`, of as many headers as there are: for what has to be stored, whatever it carries.
pub(crate) fn encode_any(headers: &Headers, payload: &[u8]) -> Result<Bytes, Error> {
    let mut out = BytesMut::with_capacity(payload.len() + 2 + headers.len() * 64);
    out.put_u16_le(u16::try_from(headers.len()).map_err(|_| too_many())?);
    for (name, value) in headers {
        out.put_u16_le(u16::try_from(name.len()).map_err(|_| too_many())?);
        out.put_u32_le(u32::try_from(value.len()).map_err(|_| too_many())?);
        out.put_slice(name.as_bytes());
        out.put_slice(value.as_bytes());
    }
    out.put_slice(payload);
    Ok(out.freeze())
}

pub(crate) fn decode(envelope: &Bytes) -> Option<(Headers, Bytes)> {
    let mut at = 0;
    let take = |at: &mut usize, len: usize| {
        let bytes = envelope.get(*at..at.checked_add(len)?)?;
        *at += len;
        Some(bytes)
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let count = number(take(&mut at, 2)?);
    let mut headers = Headers::with_capacity(count.min(HEADERS_MAX));
    for _ in 0..count {
        let (name, value) = (number(take(&mut at, 2)?), number(take(&mut at, 4)?));
        let name = std::str::from_utf8(take(&mut at, name)?).ok()?.to_owned();
        let value = std::str::from_utf8(take(&mut at, value)?).ok()?.to_owned();
        headers.push((name, value));
    }
    Some((headers, envelope.slice(at..)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_envelope_comes_back(
            headers in prop::collection::vec((".{0,8}", ".{0,8}"), 0..4),
            payload in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let envelope = encode(&headers, &payload).unwrap();
            prop_assert_eq!(decode(&envelope), Some((headers, Bytes::from(payload))));
        }

        #[test]
        fn anything_is_no_panic(data in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&Bytes::from(data));
        }
    }
}
