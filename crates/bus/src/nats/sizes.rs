//! How large a message may be: what the registry declares has to fit into what the servers take. A server that takes less
//! is refused at the start, by name, since a message that is too large is found out by nobody else: it is never stored,
//! and whoever has to store it tries for ever. One that is connected to later is told of: a process that runs is not ended
//! for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ServerInfo;

use crate::error::{Error, ErrorKind};
use crate::nats::connection::Connection;
use crate::nats::member::check_version;
use crate::registry::Registry;

/// Bytes of a message beside its payload, at most: the headers of a commit (an id, a fence with its subject, a time
/// limit) are some hundreds, and a request's carry its trace. Servers count them with the payload.
pub(crate) const HEADERS_BYTES_MAX: usize = 4 * 1024;
/// Bytes that a dead letter needs beside its message: where that was, why it ended, and the marks of a replay, each a
/// subject or a bounded text. Attempts have what is left.
const LETTER_BYTES_MIN: usize = 8 * 1024;

/// Servers that are remembered as told of: far more than a cluster has. Of more, none is told.
const TOLD_MAX: usize = 64;
/// The pause before servers are looked at after a change: a reader that is too slow is one as well.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// How long a message may take to a server and back before that is looked at: the client is connected before it knows to
/// whom.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// Refuses where a server that a member is connected to takes less than a subject's largest message.
pub(crate) fn check(registry: &Registry, connection: &Connection) -> Result<(), Error> {
    let mut clients = connection.members.iter().filter_map(|member| member.client());
    match clients.find_map(|client| too_small(registry, &client.server_info())) {
        Some(what) => Err(Error::new(ErrorKind::Config, what)),
        None => Ok(()),
    }
}

/// What is to be said of a server that takes less than a subject's largest message.
fn too_small(registry: &Registry, info: &ServerInfo) -> Option<String> {
    let largest = registry.templates().iter().max_by_key(|row| row.max_payload)?;
    let needed = largest.max_payload + HEADERS_BYTES_MAX;
    (needed > info.max_payload).then(|| {
        format!(
            "the NATS server {} ({}:{}) takes messages of {} bytes at most, and those of '{}' ('{}') have up to {}, with \
             headers {needed}: set 'max_payload: {needed}' or more in every server",
            info.server_name,
            info.host,
            info.port,
            info.max_payload,
            largest.name,
            largest.template,
            largest.max_payload,
        )
    })
}

/// What is to be said of a server that is too old: it was refused at the start, and came into the cluster since.
fn too_old(info: &ServerInfo) -> Option<String> {
    let error = check_version(&info.version).err()?;
    Some(format!("{error} ({} at {}:{})", info.server_name, info.host, info.port))
}

/// Tells of each server that takes less or is too old, as members connect anew, until the bus ends.
pub(crate) async fn watch(registry: Arc<Registry>, connection: Arc<Connection>) {
    let watching = async {
        let (mut link, mut told) = (connection.link(), Told::default());
        loop {
            link.mark_unchanged();
            for member in connection.members.iter().filter(|member| member.is_up()) {
                // Without an answer the client may not know yet whom it is connected to; then another change follows.
                if member.round_trip(LOOK_WAIT).await.is_some()
                    && let Some(client) = member.client()
                {
                    told.look(&registry, &client.server_info());
                }
            }
            if link.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    };
    connection.stop.run_until_cancelled(watching).await;
}

/// Servers that were told of, by name.
#[derive(Default)]
struct Told(HashSet<String>);

impl Told {
    /// Tells of a server that takes less, or is too old, once until it takes enough and is not. Whether it did.
    fn look(&mut self, registry: &Registry, info: &ServerInfo) -> bool {
        let Some(what) = too_small(registry, info).or_else(|| too_old(info)) else {
            self.0.remove(&info.server_name);
            return false;
        };
        if self.0.len() >= TOLD_MAX || !self.0.insert(info.server_name.clone()) {
            return false;
        }
        metrics::counter!("tidings_bus_unfit_servers_total").increment(1);
        tracing::warn!("{what}");
        true
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Class, SlowReader, TemplateDef};

    #[test]
    fn a_server_is_told_of_once_until_it_takes_enough() {
        let row = TemplateDef {
            name: "say",
            template: "say.{what:slug}",
            class: Class::Ephemeral,
            message: "any",
            max_payload: 10_000,
            slow: SlowReader::Refuse,
            check: None,
            wide: None,
        };
        let registry = Registry::new(None, vec![row]).expect("a registry");
        let server = |name: &str, max_payload| ServerInfo {
            server_name: name.to_owned(),
            version: "2.12.8".to_owned(),
            max_payload,
            ..ServerInfo::default()
        };
        let enough = 10_000 + HEADERS_BYTES_MAX;
        let mut told = Told::default();
        for (name, takes, expected) in [
            ("a", enough, false),
            ("a", enough - 1, true),
            ("a", enough - 1, false),
            ("b", 10, true),
            ("a", 10, false),
            ("a", enough, false),
            ("a", 10, true),
        ] {
            assert_eq!(told.look(&registry, &server(name, takes)), expected, "{name} takes {takes}");
        }
        let old = ServerInfo { version: "2.11.4".to_owned(), ..server("c", enough) };
        assert!(told.look(&registry, &old) && !told.look(&registry, &old), "it is too old");
        assert!(!told.look(&registry, &server("c", enough)));
        for number in 0..2 * TOLD_MAX {
            told.look(&registry, &server(&number.to_string(), 10));
        }
        assert_eq!(told.0.len(), TOLD_MAX);
    }
}
