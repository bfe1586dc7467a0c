//! How a call looks on the bus: the one place that knows. An answer is one byte, then a message: 0 before the
//! method's answer, 1 before `tidings.services.v1.Error`. The deadline travels with every request of the bus.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use tidings_protocol::proto::services::v1::Error as WireError;

use crate::error::CallError;

const ANSWER: u8 = 0;
const ERROR: u8 = 1;

fn framed(kind: u8, message: &impl Message) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + message.encoded_len());
    out.put_u8(kind);
    message.encode_raw(&mut out);
    out.freeze()
}

pub(crate) fn encode_answer(message: &impl Message) -> Bytes {
    framed(ANSWER, message)
}

pub(crate) fn encode_error(error: CallError) -> Bytes {
    framed(ERROR, &WireError::from(error))
}

pub(crate) fn decode<Rep: Message + Default>(payload: &Bytes) -> Result<Rep, CallError> {
    let malformed = || CallError::internal("The answer does not have the form that was agreed.");
    match payload.split_first() {
        Some((&ANSWER, rest)) => Rep::decode(rest).map_err(|_| malformed()),
        Some((&ERROR, rest)) => Err(WireError::decode(rest).map_or_else(|_| malformed(), CallError::from)),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_protocol::ErrorCode;
    use tidings_protocol::proto::services::v1::{Empty, Ticket};

    #[test]
    fn an_answer_and_an_error_are_told_apart() {
        let ticket = Ticket { ticket: "t".into(), expires_in: 30 };
        assert_eq!(decode::<Ticket>(&encode_answer(&ticket)), Ok(ticket));
        assert_eq!(decode::<Empty>(&encode_answer(&Empty {})), Ok(Empty {}));
        let error = CallError::new(ErrorCode::NotFound, "No.");
        assert_eq!(decode::<Ticket>(&encode_error(error.clone())), Err(error));
        for garbage in [&b""[..], b"\x02", b"\x00\xff", b"\x01\xff"] {
            let code = decode::<Ticket>(&Bytes::from_static(garbage)).map_err(|error| error.code);
            assert_eq!(code, Err(ErrorCode::Internal), "{garbage:?}");
        }
    }
}
