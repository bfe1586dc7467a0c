//! What every zone of a host works with.

use std::sync::Arc;

use tidings_bus::{Bus, Error, Kv, Subject};
use tidings_protocol::text::Catalogue;
use tidings_protocol::{Audience, ZoneId};
use tidings_service::{Caller, Health, Subjects};
use tidings_storage::Store;
use tidings_world::{Config as RulesConfig, Content};
use tokio_util::sync::CancellationToken;

use super::config::HostConfig;
use super::inbox::Hub;
use super::unwritten::Unwritten;

/// What every zone of a host works with; one a process.
pub struct Shared {
    /// How the host is set up.
    pub config: HostConfig,
    /// The bus.
    pub bus: Bus,
    /// Calls to services and other zones.
    pub caller: Caller,
    /// The storage.
    pub store: Store,
    /// The world's content.
    pub content: Arc<Content>,
    /// How the rules are set up.
    pub rules: RulesConfig,
    /// The message catalogue, for views.
    pub catalogue: Arc<Catalogue>,
    /// Leases, by zone.
    pub leases: Kv,
    /// Who is where, by character.
    pub presence: Kv,
    /// What the zones of this process tell each other.
    pub hub: Hub,
    /// Mutes that storage may not have yet.
    pub unwritten: Arc<Unwritten>,
    /// What this process depends on.
    pub health: Health,
    /// Cancelled when the rules want the process to stop.
    pub shutdown: CancellationToken,
}

impl Shared {
    /// The zone's log and its owner's.
    pub fn logs(&self, zone: &ZoneId) -> Result<Logs, Error> {
        let subjects = Subjects(self.bus.registry());
        Ok(Logs { log: subjects.zone_log(zone)?, owner: subjects.zone_owner(zone)? })
    }

    /// The logs of a zone's rooms.
    pub fn room_logs(&self, zone: &ZoneId) -> Result<Vec<Subject>, Error> {
        let subjects = Subjects(self.bus.registry());
        let rooms = self.content.rooms.keys().filter(|room| room.is_in(zone));
        rooms.map(|room| subjects.log(&Audience::Room(room.clone()))).collect()
    }

    /// The wall clock.
    pub fn now(&self) -> i64 {
        (self.config.clock)()
    }
}

/// The logs that are a zone's own.
#[derive(Clone)]
pub struct Logs {
    /// `zone.<zone>.log`.
    pub log: Subject,
    /// `zone.<zone>.owner`.
    pub owner: Subject,
}
