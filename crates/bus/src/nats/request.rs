//! Publishing and asking over core NATS.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::message::{Headers, IDEMPOTENCY_KEY, no_responders};
use crate::nats::under_way::UnderWay;
use crate::nats::{Nats, headers};
use crate::resilience::Repeats;
use crate::subject::Subject;

impl Nats {
    /// Refused while there is no connection, and never repeated: it has no answer, and is delivered at most once.
    pub(super) async fn publish_now(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
    ) -> Result<(), Error> {
        self.connection.check_open()?;
        let map = if headers.is_empty() { None } else { Some(headers::to_nats(&headers)?) };
        self.connection.publish(subject, payload, map).await
    }

    /// One answer. Sent again where it surely was not received, or carries a key by which a repeat is known.
    pub(super) async fn request_now(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: &Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.connection.check_open()?;
        self.connection.check_circuit()?;
        let keyed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY));
        let repeats = if keyed { Repeats::Always } else { Repeats::UnlessReceived };
        let _asking = UnderWay::count(&self.asking);
        let mut tries = self.connection.to_service(subject.as_str(), repeats, deadline)?;
        loop {
            // The one who serves has until the asker stops waiting for it.
            let mut map = headers::to_nats(headers)?;
            headers::put(&mut map, headers::DEADLINE, tries.left().as_millis());
            match self.ask_once(subject, map, payload.clone(), tries.wait()).await {
                Ok(answer) => return tries.ended(Ok(answer)),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn ask_once(
        &self,
        subject: &Subject,
        map: HeaderMap,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Bytes, Error> {
        let answer = self.connection.ask(subject.wire(), Some(map), payload, wait).await?;
        match headers::text(answer.headers.as_ref(), headers::REFUSED) {
            None => Ok(answer.payload),
            Some("overloaded") => {
                Err(Error::new(ErrorKind::Overloaded, format!("a subscriber of '{subject}' is full")))
            }
            Some(headers::UNANSWERED) => {
                let why = format!("'{subject}' was taken and let go without an answer");
                Err(Error::new(ErrorKind::Timeout, why))
            }
            Some(_) => Err(no_responders(subject)),
        }
    }
}
