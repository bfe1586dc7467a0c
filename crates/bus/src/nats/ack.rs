//! What the server says of a delivery in the subject to acknowledge it to.

/// A delivery by a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Which delivery of the message this is, from 1.
    pub(crate) count: u64,
    /// The message's sequence in the stream.
    pub(crate) seq: u64,
    /// The delivery's number among all of the consumer's.
    pub(crate) number: u64,
    /// When the message was stored, Unix milliseconds.
    pub(crate) time_ms: i64,
    /// Messages of the consumer after this one.
    pub(crate) pending: u64,
}

impl Delivery {
    /// Reads `$JS.ACK.<stream>.<consumer>.<count>.<seq>.<number>.<time>.<pending>`, or its longer form with the
    /// domain and the account before the stream.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let skip = match reply.split('.').count() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        let mut tokens = reply.strip_prefix("$JS.ACK.")?.split('.').skip(skip - 2);
        let mut number = || tokens.next()?.parse::<u64>().ok();
        Some(Self {
            count: number()?,
            seq: number()?,
            number: number()?,
            time_ms: i64::try_from(number()? / 1_000_000).ok()?,
            pending: number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Delivery { count: 2, seq: 3, number: 5, time_ms: 1_795_276_952_308, pending: 1 };
        for reply in [
            "$JS.ACK.W.worker.2.3.5.1795276952308311292.1",
            "$JS.ACK.hub.ACCOUNT.W.worker.2.3.5.1795276952308311292.1",
            "$JS.ACK.hub.ACCOUNT.W.worker.2.3.5.1795276952308311292.1.x",
        ] {
            assert_eq!(Delivery::parse(reply), Some(expected), "{reply}");
        }
        for reply in ["", "$JS.ACK.W.worker", "_INBOX.a.b.c.d.e.f.g.h", "$JS.ACK.W.worker.x.3.5.7.1"] {
            assert_eq!(Delivery::parse(reply), None, "{reply}");
        }
    }
}
