//! What subscribers and servers of requests receive.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, ErrorKind};
use crate::subject::Subject;

/// Headers, in order. Few, so a vector.
pub type Headers = Vec<(String, String)>;

/// A message on a subject.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub subject: Subject,
    /// Its payload.
    pub payload: Bytes,
    /// Its headers.
    pub headers: Headers,
    pub(crate) reply: Option<Reply>,
}

/// How an answer finds its way back.
#[derive(Debug)]
pub(crate) enum Reply {
    Local(oneshot::Sender<Result<Bytes, Error>>),
}

impl Message {
    /// Answers a request. An answer nobody waits for any more is dropped.
    pub fn respond(mut self, payload: Bytes) -> Result<(), Error> {
        match self.reply.take() {
            Some(Reply::Local(waiting)) => {
                let _ = waiting.send(Ok(payload));
                Ok(())
            }
            None => Err(Error::new(ErrorKind::Publish, "the message asks for no answer")),
        }
    }

    /// Whether an answer is asked for.
    pub fn wants_answer(&self) -> bool {
        self.reply.is_some()
    }
}

/// A subscription: ends when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) messages: mpsc::Receiver<Message>,
}

impl Subscription {
    /// The next message; `None` once the bus is closed.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}
