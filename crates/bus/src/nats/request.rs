//! Publishing and asking over core NATS.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::backend::Outcome;
use crate::error::{Error, ErrorKind};
use crate::message::{Headers, IDEMPOTENCY_KEY, no_responders};
use crate::nats::tries::Limit;
use crate::nats::{Nats, headers};
use crate::resilience::Repeats;
use crate::subject::Subject;
use crate::under_way::UnderWay;

impl Nats {
    /// Refused while there is no connection, and never repeated: it has no answer, and is delivered at most once.
    #[inline]
    pub(super) fn publish_now(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        match self.connection.check_open() {
            Ok(()) => self.connection.publish(subject, payload, headers),
            Err(error) => Outcome::Ready(Err(error)),
        }
    }

    /// One answer.
    pub(super) async fn request_now(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.connection.check_open()?;
        let _asking = UnderWay::count(self.asking.as_ref());
        self.request_counted(subject, &payload, &headers, deadline, None).await
    }

    /// One answer: each try is of whoever serves it here, else over the servers. Tried again where it surely was not
    /// received, or carries a key by which a repeat is known. `met`: what a first try came to.
    pub(super) async fn request_counted(
        &self,
        subject: &Subject,
        payload: &Bytes,
        headers: &Headers,
        deadline: Duration,
        met: Option<Error>,
    ) -> Result<Bytes, Error> {
        if !self.subscriptions.near.serves(subject) {
            self.connection.check_circuit()?;
        }
        let keyed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY));
        let repeats = if keyed { Repeats::Always } else { Repeats::UnlessReceived };
        let mut tries = self.connection.to_service(subject.as_str(), repeats, deadline)?;
        if let Some(error) = met {
            tries.again(error).await?;
        }
        loop {
            let limit = tries.limit();
            let answer = match self.try_near(subject, payload, headers, limit).await {
                Some(answer) => answer,
                None => {
                    self.ask_once(subject, headers::to_nats_if_any(headers)?, payload.clone(), limit).await
                }
            };
            match answer {
                Ok(answer) => return tries.ended(Ok(answer)),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn ask_once(
        &self,
        subject: &Subject,
        map: Option<HeaderMap>,
        payload: Bytes,
        limit: Limit,
    ) -> Result<Bytes, Error> {
        let answer = self.connection.ask(subject.wire(), map, payload, limit).await?;
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
