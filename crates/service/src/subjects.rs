//! Every subject of Tidings, in one table, and the typed way to each: nothing formats a subject by hand.

use tidings_bus::{
    BucketConfig, Check, Class, EmbeddedConfig, Error, Keep, NatsConfig, Pattern, Registry, Retention,
    SlowReader, Subject, TemplateDef,
};
use tidings_protocol::form::{Form, form};
use tidings_protocol::{Audience, RoomId, ZoneId};

/// Largest record of a log, in bytes: an outbound frame has to hold it.
pub const LOG_PAYLOAD_MAX: usize = 64 * 1024;
/// Largest effects record of a zone's commit, and largest dead letter, in bytes: a NATS server takes 1 MiB where nobody
/// says otherwise, headers included.
pub const ZONE_PAYLOAD_MAX: usize = 1024 * 1024 - 8 * 1024;
/// Largest request or answer of a service, in bytes.
pub const CALL_PAYLOAD_MAX: usize = 512 * 1024;

/// The check of a message of this form.
fn check(form: &'static Form) -> Check {
    Check::new(move |payload| form.check(payload).map_err(|error| error.to_string()))
}

fn row(
    name: &'static str,
    template: &'static str,
    class: Class,
    message: &'static str,
    max_payload: usize,
) -> TemplateDef {
    let check = form(message).map(check);
    TemplateDef { name, template, class, message, max_payload, slow: SlowReader::Refuse, check, wide: None }
}

/// What the names of edges' services begin with.
pub const EDGE_SERVICE: &str = "edge-";

/// The table.
pub fn table() -> Vec<TemplateDef> {
    use Class::{Durable, Ephemeral, Request, Work};
    const EVENT: &str = "tidings.world.v1.Event";
    vec![
        row("room.log", "room.{room:place}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("area.log", "area.{area:place}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("player.log", "player.{player:id}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("party.log", "party.{party:id}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("world.log", "world.{world:slug}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("staff.log", "staff.{world:slug}.log", Durable, EVENT, LOG_PAYLOAD_MAX),
        row("zone.owner", "zone.{zone:slug}.owner", Durable, "tidings.world.v1.Ownership", 1024),
        row("zone.log", "zone.{zone:slug}.log", Durable, "tidings.world.v1.ZoneRecord", ZONE_PAYLOAD_MAX),
        TemplateDef {
            slow: SlowReader::DropOldest,
            ..row("room.hint", "room.{room:place}.hint", Ephemeral, EVENT, LOG_PAYLOAD_MAX)
        },
        row("cmd.zone", "cmd.zone.{zone:slug}", Request, "tidings.world.v1.ZoneRequest", CALL_PAYLOAD_MAX),
        row("svc", "svc.{service:slug}.{version:slug}.{method:slug}", Request, "any", CALL_PAYLOAD_MAX),
        // Each edge is a service as well. Its calls have subjects of their own, so that the right to serve them is not
        // the right to serve all services.
        row("edge", "edge.{edge:slug}.{version:slug}.{method:slug}", Request, "any", CALL_PAYLOAD_MAX),
        row("ctl", "ctl.{topic:slug}", Ephemeral, "any", LOG_PAYLOAD_MAX),
        row("work", "work.{queue:slug}", Work, "any", LOG_PAYLOAD_MAX),
        row("dlq", "dlq.{queue:slug}", Durable, "any", ZONE_PAYLOAD_MAX),
    ]
}

/// The registry of a system whose subjects start with `prefix`.
pub fn registry(prefix: Option<&str>) -> Result<Registry, Error> {
    Registry::new(prefix, table())
}

/// Typed subjects over a registry.
#[derive(Clone, Copy)]
pub struct Subjects<'a>(pub &'a Registry);

impl Subjects<'_> {
    /// An audience's log.
    pub fn log(&self, audience: &Audience) -> Result<Subject, Error> {
        match audience {
            Audience::Room(id) => self.0.subject("room.log", &[id.as_str()]),
            Audience::Area(id) => self.0.subject("area.log", &[id.as_str()]),
            Audience::Player(id) => self.0.subject("player.log", &[&id.to_string()]),
            Audience::Party(id) => self.0.subject("party.log", &[&id.to_string()]),
            Audience::World(id) => self.0.subject("world.log", &[id.as_str()]),
            Audience::Staff(id) => self.0.subject("staff.log", &[id.as_str()]),
        }
    }

    /// What may be missed in a room.
    pub fn hint(&self, room: &RoomId) -> Result<Subject, Error> {
        self.0.subject("room.hint", &[room.as_str()])
    }

    /// Who owns a zone: the fence of its commits.
    pub fn zone_owner(&self, zone: &ZoneId) -> Result<Subject, Error> {
        self.0.subject("zone.owner", &[zone.as_str()])
    }

    /// What a zone's next owner replays.
    pub fn zone_log(&self, zone: &ZoneId) -> Result<Subject, Error> {
        self.0.subject("zone.log", &[zone.as_str()])
    }

    /// Requests to a zone's owner.
    pub fn zone_commands(&self, zone: &ZoneId) -> Result<Subject, Error> {
        self.0.subject("cmd.zone", &[zone.as_str()])
    }

    /// A method of a service; names are lower case with dashes, for example `account`, `sign-in`.
    pub fn service(&self, service: &str, method: &str) -> Result<Subject, Error> {
        let (template, name) = of_service(service);
        self.0.subject(template, &[name, "v1", method])
    }

    /// Every method of a service.
    pub fn service_methods(&self, service: &str) -> Result<Pattern, Error> {
        let (template, name) = of_service(service);
        self.0.pattern(template, &[Some(name), Some("v1"), None])
    }

    /// A control topic: `sessions`, `mutes`.
    pub fn control(&self, topic: &str) -> Result<Subject, Error> {
        self.0.subject("ctl", &[topic])
    }

    /// A work queue.
    pub fn work(&self, queue: &str) -> Result<Subject, Error> {
        self.0.subject("work", &[queue])
    }
}

/// The template of a service's calls, and its name there.
fn of_service(service: &str) -> (&'static str, &str) {
    service.strip_prefix(EDGE_SERVICE).map_or(("svc", service), |edge| ("edge", edge))
}

/// The buckets of key/value: name, and whether it outlives the servers.
pub const BUCKETS: [(&str, bool); 5] =
    [("sessions", true), ("presence", false), ("leases", false), ("edges", false), ("tickets", false)];

/// The buckets, as a backend is told of them.
pub(crate) fn buckets() -> Vec<BucketConfig> {
    let keep = |durable| if durable { Keep::Durable } else { Keep::Volatile };
    BUCKETS.map(|(name, durable)| BucketConfig::new(name, keep(durable))).into()
}

/// Of each log that is no audience's, what its reader needs: the owner is the last record; a zone's log is trimmed by
/// its owner, to its checkpoint.
fn retention_rules() -> Vec<(String, Retention)> {
    let rules = [("zone.*.owner", Retention::LAST), ("zone.*.log", Retention::UNTIL_TRIMMED)];
    rules.map(|(pattern, retention)| (pattern.to_owned(), retention)).into()
}

/// Declares to the embedded backend what the house keeps.
pub fn declare(config: EmbeddedConfig) -> EmbeddedConfig {
    EmbeddedConfig { buckets: buckets(), retention_rules: retention_rules(), ..config }
}

/// Declares the same to the backend on NATS.
pub fn declare_on_nats(config: NatsConfig) -> NatsConfig {
    NatsConfig { buckets: buckets(), retention_rules: retention_rules(), ..config }
}
