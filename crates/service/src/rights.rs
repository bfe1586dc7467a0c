//! Which role may send what and hear what: the registry's other half, for the users of a NATS cluster. A row of the
//! registry without one here is a failing test.

use tidings_bus::{Error, Part, Registry, Rights};

use crate::subjects::buckets;

/// What a process does, as far as messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves people.
    Edge,
    /// Hosts zones.
    Zone,
    /// Runs the services around them.
    Services,
}

use Role::{Edge, Services, Zone};

impl Role {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Edge => "edge",
            Zone => "zone",
            Services => "services",
        }
    }
}

/// The roles that processes have, each process with a user of its own.
pub const PROCESSES: [&[Role]; 5] =
    [&[Edge], &[Zone], &[Services], &[Zone, Services], &[Edge, Zone, Services]];

const ALL: &[Role] = &[Edge, Zone, Services];
const NOBODY: &[Role] = &[];

/// How a role sends to a template.
enum Sends {
    /// It publishes or asks.
    Publish,
    /// It commits to the log.
    Commit,
    /// It puts dead letters back into the queue.
    Refill,
}

/// A template, how it is sent to, and by whom; who subscribes to it or serves it. Logs are followed by all.
const TEMPLATES: [(&str, Sends, &[Role], &[Role]); 15] = [
    ("room.log", Sends::Commit, &[Zone], NOBODY),
    ("area.log", Sends::Commit, &[Zone], NOBODY),
    ("player.log", Sends::Commit, &[Zone], NOBODY),
    ("party.log", Sends::Commit, &[Zone], NOBODY),
    ("world.log", Sends::Commit, &[Zone], NOBODY),
    ("staff.log", Sends::Commit, &[Zone], NOBODY),
    ("zone.owner", Sends::Commit, &[Zone], NOBODY),
    ("zone.log", Sends::Commit, &[Zone], NOBODY),
    ("room.hint", Sends::Publish, &[Zone], &[Edge]),
    ("cmd.zone", Sends::Publish, ALL, &[Zone]),
    ("svc", Sends::Publish, ALL, &[Services]),
    ("edge", Sends::Publish, &[Zone, Services], &[Edge]),
    ("ctl", Sends::Publish, &[Zone, Services], &[Edge, Services]),
    // No work goes by queues yet. What could not be worked off is the service `deadletter`'s to put back and take out.
    ("work", Sends::Refill, &[Services], NOBODY),
    ("dlq", Sends::Commit, &[Services], NOBODY),
];

/// A bucket: who reads and watches it, who reads keys of it and writes.
const BUCKETS: [(&str, &[Role], &[Role]); 5] = [
    ("sessions", &[Services], &[Services]),
    ("presence", &[Zone, Services], &[Zone, Services]),
    ("leases", &[Zone, Services], &[Zone, Services]),
    ("edges", &[Zone, Services], &[Services]),
    ("tickets", &[Services], &[Services]),
];

/// What a process of these roles does.
fn part(roles: &[Role]) -> Part {
    let has = |some: &[Role]| some.iter().any(|role| roles.contains(role));
    let mut part = Part { declares: true, ..Part::default() };
    for (template, sends, senders, hearers) in &TEMPLATES {
        match sends {
            Sends::Publish if has(senders) => part.publishes.push(template),
            Sends::Commit => {
                if has(senders) {
                    part.commits.push(template);
                }
                // A host keeps every log to its bounds, who takes out dead letters theirs.
                if has(senders) || has(&[Zone]) {
                    part.trims.push(template);
                }
            }
            Sends::Refill if has(senders) => part.refills.push(template),
            Sends::Publish | Sends::Refill => {}
        }
        if has(hearers) {
            part.subscribes.push(template);
        }
    }
    for (bucket, readers, writers) in BUCKETS {
        if has(readers) {
            part.reads.push(bucket);
        }
        if has(writers) {
            part.writes.push(bucket);
        }
    }
    part
}

/// What a process of these roles is called among the users of a cluster.
pub fn user(roles: &[Role]) -> String {
    if ALL.iter().all(|role| roles.contains(role)) {
        return "all".to_owned();
    }
    roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join("-")
}

/// Where a process of these roles hears answers: its user hears no other's.
pub fn inbox(prefix: Option<&str>, roles: &[Role]) -> String {
    let world = prefix.map_or_else(String::new, |prefix| format!("{prefix}."));
    format!("_INBOX.{world}{}", user(roles))
}

/// What the names of users begin with where subjects have no prefix.
pub const WORLD: &str = "tidings";
/// What the user of the command line is called: of who looks after a cluster.
pub const OPERATOR: &str = "operator";

/// Where the command line hears answers as that user.
pub fn operator_inbox(prefix: Option<&str>) -> String {
    let world = prefix.map_or_else(String::new, |prefix| format!("{prefix}."));
    format!("_INBOX.{world}{OPERATOR}")
}

/// What `tidings check`, `streams` and `dlq` need on NATS: to look at everything, to put back and take out dead letters,
/// and to bring streams and buckets to their form (`streams apply`). It decides nothing of the world; but who may change a
/// stream may have it forget, which NATS cannot tell apart.
pub fn operator_rights(registry: &Registry, prefix: Option<&str>) -> Result<Rights, Error> {
    let mut part = Part { commits: vec!["dlq"], refills: vec!["work"], ..Part::default() };
    (part.inspects, part.changes) = (true, true);
    Rights::of(registry, &buckets(), &operator_inbox(prefix), &part)
}

/// What a process of these roles may send and hear on NATS.
pub fn rights(registry: &Registry, prefix: Option<&str>, roles: &[Role]) -> Result<Rights, Error> {
    Rights::of(registry, &buckets(), &inbox(prefix, roles), &part(roles))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subjects::{BUCKETS as DECLARED, registry, table};

    #[test]
    fn every_template_and_bucket_has_its_rights() {
        let rows: Vec<_> = table().iter().map(|row| row.name).collect();
        for (name, sends, ..) in &TEMPLATES {
            let row = table().into_iter().find(|row| row.name == *name).expect("a row");
            let durable = row.class == tidings_bus::Class::Durable;
            assert_eq!(matches!(sends, Sends::Commit), durable, "{name}");
        }
        assert_eq!(rows.len(), TEMPLATES.len());
        let mut buckets = BUCKETS.map(|(name, ..)| name);
        let mut declared = DECLARED.map(|(name, _)| name);
        buckets.sort_unstable();
        declared.sort_unstable();
        assert_eq!(buckets, declared);
    }

    #[test]
    fn zone_hosts_alone_write_logs_and_nobody_the_copies() {
        for prefix in [None, Some("north")] {
            let registry = registry(prefix).expect("a registry");
            let at = |subject: &str| prefix.map_or_else(String::new, |prefix| format!("{prefix}.")) + subject;
            for roles in PROCESSES {
                let rights = rights(&registry, prefix, roles).expect("rights");
                let may = |subject: &str| rights.publish.iter().any(|pattern| covers(pattern, subject));
                let (zone, services) = (roles.contains(&Zone), roles.contains(&Services));
                assert_eq!(may(&at("room.harbour_quay.log")), zone, "{roles:?}");
                assert_eq!(may(&at("zone.harbour.owner")), zone, "{roles:?}");
                assert_eq!(may(&at("bus.note.trim.room.harbour_quay.log")), zone, "{roles:?}");
                let events = prefix.unwrap_or("tidings");
                let trims = may(&format!("$JS.API.STREAM.PURGE.{events}_EVENTS"));
                assert_eq!(trims, zone || services, "{roles:?}");
                assert_eq!(may(&at("bus.note.trim.dlq.mail")), zone || services, "{roles:?}");
                for dead in ["dlq.mail", "work.mail"] {
                    assert_eq!(may(&at(dead)), services, "{roles:?}: {dead}");
                }
                assert_eq!(may(&format!("$KV.{events}_tickets.x")), services, "{roles:?}");
                assert!(!may(&at("bus.live.room.harbour_quay.log")), "{roles:?}");
                assert!(!may(&format!("$JS.API.STREAM.DELETE.{events}_EVENTS")));
                assert!(!may(&format!("$JS.API.STREAM.UPDATE.{events}_EVENTS")));
                let hears = |subject: &str| rights.subscribe.iter().any(|pattern| covers(pattern, subject));
                assert_eq!(hears(&at("svc.account.v1.sign-in")), services, "{roles:?}");
                assert_eq!(hears(&at("cmd.zone.harbour")), zone, "{roles:?}");
                assert!(hears(&format!("{}.x.1", inbox(prefix, roles))) && !hears("_INBOX.x.1"));
                if prefix.is_some() {
                    assert!(!may("svc.account.v1.sign-in"), "another world's");
                }
            }
        }
    }

    #[test]
    fn an_operator_looks_and_decides_nothing() {
        let registry = registry(None).expect("a registry");
        let rights = operator_rights(&registry, None).expect("rights");
        let may = |subject: &str| rights.publish.iter().any(|pattern| covers(pattern, subject));
        for subject in
            ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.CONSUMER.LIST.x", "dlq.mail", "work.mail"]
        {
            assert!(may(subject), "{subject}");
        }
        for call in ["CREATE", "UPDATE"] {
            assert!(may(&format!("$JS.API.STREAM.{call}.KV_tidings_leases")), "{call}");
            assert!(!may(&format!("$JS.API.STREAM.{call}.somebody_elses")), "{call}");
        }
        for subject in [
            "$JS.API.STREAM.PURGE.tidings_EVENTS",
            "$JS.API.STREAM.DELETE.tidings_EVENTS",
            "$JS.API.CONSUMER.CREATE.tidings_EVENTS.x",
            "bus.note.epoch",
            "bus.note.trim.dlq.mail",
            "room.harbour_quay.log",
            "svc.account.v1.sign-in",
            "cmd.zone.harbour",
            "$KV.tidings_edges.x",
            "_INBOX.edge.x",
        ] {
            assert!(!may(subject), "{subject}");
        }
    }

    /// Whether a pattern of NATS holds a subject.
    fn covers(pattern: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for part in pattern.split('.') {
            match (part, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(token)) if part == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}
