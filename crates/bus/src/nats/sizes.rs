//! How large a message may be: what the registry declares has to fit into what the servers take. A server that takes less
//! is refused at the start, by name, since a message that is too large is found out by nobody else: it is never stored,
//! and whoever has to store it tries for ever.

use crate::error::{Error, ErrorKind};
use crate::nats::connection::Connection;
use crate::registry::Registry;

/// Bytes of a message beside its payload, at most: the headers of a commit (an id, a fence with its subject, a time
/// limit) are some hundreds, and a request's carry its trace and deadline. Servers count them with the payload.
pub(crate) const HEADERS_BYTES_MAX: usize = 4 * 1024;
/// Bytes that a dead letter needs beside its message: where that was, why it ended, and the marks of a replay, each a
/// subject or a bounded text. Attempts have what is left.
const LETTER_BYTES_MIN: usize = 8 * 1024;

/// Refuses a server that takes less than a subject's largest message.
pub(crate) fn check(registry: &Registry, connection: &Connection) -> Result<(), Error> {
    let info = connection.server_info();
    let Some(largest) = registry.templates().iter().max_by_key(|row| row.max_payload) else { return Ok(()) };
    let needed = largest.max_payload + HEADERS_BYTES_MAX;
    if needed <= info.max_payload {
        return Ok(());
    }
    let what = format!(
        "the NATS server {} ({}:{}) takes messages of {} bytes at most, and those of '{}' ('{}') have up to {}, with \
         headers {needed}: set 'max_payload: {needed}' or more in every server",
        info.server_name,
        info.host,
        info.port,
        info.max_payload,
        largest.name,
        largest.template,
        largest.max_payload,
    );
    Err(Error::new(ErrorKind::Config, what))
}

impl Connection {
    /// The largest payload that every server takes of a message with headers.
    pub(crate) fn payload_max(&self) -> usize {
        let clients = self.members.iter().filter_map(|member| member.client());
        // Without one, what is sent is refused for that.
        clients
            .map(|client| client.max_payload())
            .min()
            .unwrap_or(usize::MAX)
            .saturating_sub(HEADERS_BYTES_MAX)
    }

    /// Refuses a message of a work queue that could not become a dead letter.
    pub(crate) fn check_work(&self, queue: &str, envelope: &[u8]) -> Result<(), Error> {
        let most = self.payload_max().saturating_sub(LETTER_BYTES_MIN);
        if envelope.len() <= most {
            return Ok(());
        }
        let bytes = envelope.len();
        let what = format!(
            "{bytes} bytes with headers for '{queue}': at most {most}, so that a dead letter has room"
        );
        Err(Error::new(ErrorKind::Schema, what))
    }
}
