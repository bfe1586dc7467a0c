//! What a process does: all of it, or a part of a world that runs in several on one NATS cluster.

use std::fmt;

use tidings_service::rights::Role;

/// The role that is all of them.
const ALL: &str = "all";
const EDGE: &str = "edge";
const ZONE: &str = "zone";
const SERVICES: &str = "services";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Serves people's sockets and HTTP.
    pub edge: bool,
    /// Hosts zones.
    pub zone: bool,
    /// Runs the services around them.
    pub services: bool,
}

/// Whether this names a role.
pub fn is_role(text: &str) -> bool {
    [ALL, EDGE, ZONE, SERVICES].contains(&text)
}

impl Roles {
    /// Of their names.
    pub fn of(names: &[String]) -> Self {
        let has = |role: &str| names.iter().any(|name| name == role || name == ALL);
        Self { edge: has(EDGE), zone: has(ZONE), services: has(SERVICES) }
    }

    /// Whether it is everything.
    pub fn is_all(self) -> bool {
        self.edge && self.zone && self.services
    }

    /// As the table of rights knows them.
    pub fn rights(self) -> Vec<Role> {
        let all = [(self.edge, Role::Edge), (self.zone, Role::Zone), (self.services, Role::Services)];
        all.into_iter().filter_map(|(has, role)| has.then_some(role)).collect()
    }

    /// Whether the process has the storage: what hosts zones or runs services has, and no edge needs it.
    pub fn keeps_storage(self) -> bool {
        self.zone || self.services
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.edge, EDGE), (self.zone, ZONE), (self.services, SERVICES)];
        let names: Vec<&str> = all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        f.write_str(&names.join(", "))
    }
}
