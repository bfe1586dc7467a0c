//! Publishing and asking over core NATS.

use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::message::{Headers, no_responders};
use crate::nats::under_way::UnderWay;
use crate::nats::{Nats, headers};
use crate::subject::Subject;

impl Nats {
    pub(super) async fn publish_now(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: Headers,
    ) -> Result<(), Error> {
        self.connection.check_open()?;
        self.connection.check_up()?;
        let map = if headers.is_empty() { None } else { Some(headers::to_nats(&headers)?) };
        self.connection.send(subject.as_str().to_owned(), None, map, payload).await
    }

    pub(super) async fn request_now(
        &self,
        subject: &Subject,
        payload: Bytes,
        headers: &Headers,
        deadline: Duration,
    ) -> Result<Bytes, Error> {
        self.connection.check_open()?;
        let mut map = headers::to_nats(headers)?;
        headers::put(&mut map, headers::DEADLINE, deadline.as_millis());
        let _asking = UnderWay::count(&self.asking);
        let answer = self.connection.ask(subject.as_str(), Some(map), payload, deadline).await?;
        match headers::text(answer.headers.as_ref(), headers::REFUSED) {
            None => Ok(answer.payload),
            Some("overloaded") => {
                Err(Error::new(ErrorKind::Overloaded, format!("a subscriber of '{subject}' is full")))
            }
            Some(_) => Err(no_responders(subject)),
        }
    }
}
