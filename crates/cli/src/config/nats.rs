//! The messaging between processes: which cluster, and what must not be meant by it.

use std::net::IpAddr;
use std::time::Duration;

use tidings_bus::resilience::HealthConfig;
use tidings_bus::{BusConfig, NatsConfig, Retention};
use tidings_service::declare_on_nats;
use tidings_service::rights::{OPERATOR, WORLD, inbox, operator_inbox};
use tidings_service::subjects::registry;

use super::{Config, Mistake};
use crate::roles::Roles;

/// The longest time that a circuit stays open. Edges that find a world again that was away have to renew their lease
/// before it lapses, and what people type waits for an answer: a probe now and then costs nobody anything.
const CIRCUIT_OPEN_MOST: Duration = Duration::from_secs(2);

/// The address of a NATS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    tls: bool,
    /// The host, with the port where one is named.
    address: String,
}

impl NatsServer {
    /// Reads `nats://` or `tls://`, a host, perhaps a port; no user and no password.
    pub fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return None,
        };
        let server = Self { tls, address: rest.to_owned() };
        let (host, port) = server.parts();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
        let fits = !host.is_empty() && host.chars().all(plain);
        (fits && port.is_none_or(|port| port.parse::<u16>().is_ok())).then_some(server)
    }

    /// The host and the port; an IPv6 address stands in brackets.
    fn parts(&self) -> (&str, Option<&str>) {
        match self.address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (&self.address, None),
        }
    }

    /// Whether it is asked for with TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// As it was written.
    fn shown(&self) -> String {
        format!("{}://{}", if self.tls { "tls" } else { "nats" }, self.address)
    }

    /// Whether what goes there crosses a network that others may listen to.
    fn is_in_the_open(&self) -> bool {
        let host = self.parts().0.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.tls && !here
    }
}

impl Config {
    /// What the process does.
    pub fn roles(&self) -> Roles {
        Roles::of(self.list("roles"))
    }

    /// What the process is called, where it was told.
    pub fn instance(&self) -> Option<&str> {
        Some(self.text("instance")).filter(|text| !text.is_empty())
    }

    /// What goes before every name on NATS.
    pub fn subject_prefix(&self) -> Option<&str> {
        Some(self.text("subject_prefix")).filter(|text| !text.is_empty())
    }

    /// What is kept of an audience's log, by either backend.
    pub fn kept(&self) -> Retention {
        Retention { messages: Some(self.retention_messages()), age: Some(self.retention()) }
    }

    /// The cluster for a process of this name; `None`: messaging in the process.
    pub fn nats(&self, name: &str) -> Option<NatsConfig> {
        let servers = self.list("nats.servers").to_vec();
        let mut bus = BusConfig::default();
        bus.breaker.open_most = CIRCUIT_OPEN_MOST;
        bus.health = HealthConfig::each(Duration::from_secs(self.number("nats.ping_seconds")));
        let config = NatsConfig {
            servers,
            security: self.nats_security(),
            inbox: self.nats_inbox(),
            // Who commits to logs may trim them.
            keeps: self.roles().zone,
            name: name.to_owned(),
            pool: self.size("nats.pool"),
            replicas: self.size("nats.replicas"),
            retention: self.kept(),
            bus,
            ..NatsConfig::default()
        };
        self.uses_nats().then(|| declare_on_nats(config))
    }

    /// The same for a command that looks in: it makes nothing, and looks after nothing.
    pub fn nats_visit(&self, name: &str) -> Option<NatsConfig> {
        self.nats(name).map(|config| NatsConfig { visits: true, keeps: false, buckets: Vec::new(), ..config })
    }

    /// Where answers come to that this process's user may hear.
    fn nats_inbox(&self) -> String {
        let prefix = self.subject_prefix();
        let operator = format!("{}-{OPERATOR}", prefix.unwrap_or(WORLD));
        if self.text("nats.user") == operator {
            return operator_inbox(prefix);
        }
        inbox(prefix, &self.roles().rights())
    }

    /// Whether messaging goes over a cluster.
    pub fn uses_nats(&self) -> bool {
        !self.list("nats.servers").is_empty()
    }
}

/// What does not go together, and what this version does not have: refused, not left out in silence.
pub fn check(config: &Config, mistakes: &mut Vec<Mistake>) {
    let mut refuse = |key: &str, message: String| {
        mistakes.push(Mistake { origin: config.origin(key).clone(), message: format!("'{key}': {message}") });
    };
    let roles = config.roles();
    if !config.uses_nats() && !roles.is_all() {
        let what = format!(
            "{roles} alone needs the others in other processes, and 'nats.servers' (--nats) to reach them; without it \
             everything is in one process: 'all'"
        );
        refuse("roles", what);
    } else if roles.zone != roles.services {
        let what = "zone and services keep one storage, a file that one process has: name both or neither";
        refuse("roles", what.to_owned());
    }
    if let Some(prefix) = config.subject_prefix() {
        if !config.uses_nats() {
            refuse("subject_prefix", "is of names on NATS, and 'nats.servers' names no server".to_owned());
        }
        if let Err(error) = registry(Some(prefix)) {
            refuse("subject_prefix", error.to_string());
        }
    }
    if ![1, 3, 5].contains(&config.number("nats.replicas")) {
        refuse(
            "nats.replicas",
            "takes 1, 3 or 5: an even number survives no more than the odd one below".into(),
        );
    }
    if !config.text("database").is_empty() {
        refuse("database", "this version keeps SQLite in the data folder ('data')".to_owned());
    }
}

/// What the profile `production` refuses.
pub fn check_production(config: &Config, mistakes: &mut Vec<Mistake>) {
    let open = |text: &&String| NatsServer::read(text).is_some_and(|server| server.is_in_the_open());
    let Some(server) = config.list("nats.servers").iter().find(open) else { return };
    if config.flag("allow.plaintext_nats") {
        return;
    }
    let server = NatsServer::read(server).map_or_else(String::new, |server| server.shown());
    mistakes.push(Mistake {
        origin: config.origin("nats.servers").clone(),
        message: format!(
            "profile production: 'nats.servers' has {server}: everything said would cross the network unencrypted. \
             Use tls://, or a server on this machine, or set allow.plaintext_nats = true"
        ),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown, open) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222", false),
            ("nats://localhost", "nats://localhost", false),
            ("nats://[::1]:4222", "nats://[::1]:4222", false),
            ("nats://[fd00::1]", "nats://[fd00::1]", true),
            ("nats://10.0.0.1:4222", "nats://10.0.0.1:4222", true),
            ("tls://nats.example", "tls://nats.example", false),
        ] {
            let server = NatsServer::read(text).expect(text);
            assert_eq!((server.shown().as_str(), server.is_in_the_open()), (shown, open), "{text}");
        }
        for text in [
            "",
            "10.0.0.1:4222",
            "http://x",
            "nats://",
            "nats://x:port",
            "nats://a b",
            "nats://u:p@",
            "tls://u@x",
        ] {
            assert_eq!(NatsServer::read(text), None, "{text}");
        }
    }
}
