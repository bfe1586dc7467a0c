//! Every key of the configuration: its kind, its bounds, what holds where nobody says anything, and what it is for.

use super::value::{Kind, Value};

/// A key.
pub struct Key {
    /// As it is written in `--set` and, by tables, in the file.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Where nobody says anything.
    pub default: fn() -> Value,
    /// What it is for, in a line.
    pub help: &'static str,
    /// Whether `tidings config` hides it.
    pub secret: bool,
}

impl Key {
    /// The environment variable that sets it: `limits.burst` is `TIDINGS_LIMITS_BURST`.
    pub fn variable(&self) -> String {
        format!("TIDINGS_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// The key called so.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Rates and sizes: large enough for "as good as none", small enough to count with.
const RATE: Kind = Kind::Number(0, 1_000_000_000);
/// Times in seconds: up to a day.
const SECONDS: Kind = Kind::Number(1, 86_400);
/// Minutes: up to a week.
const MINUTES: Kind = Kind::Number(1, 10_080);

macro_rules! keys {
    (@ secret) => { true };
    (@) => { false };
    ($($name:literal $kind:expr, $default:expr, $help:literal $(, $secret:ident)?;)*) => {
        /// Every key, in the order that `tidings config` prints them.
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            kind: $kind,
            default: || Value::from($default),
            help: $help,
            secret: keys!(@ $($secret)?),
        }),*];
    };
}

const NOTHING: &str = "";
const NO_LIST: [&str; 0] = [];

keys! {
    "listen" Kind::Address, "127.0.0.1:4000", "Where HTTP and WebSockets are served; port 0: any free one";
    "data" Kind::Text, "tidings-data", "The folder that everything is kept in";
    "world" Kind::Text, NOTHING, "The folder of the world; empty: the world that comes with Tidings";
    "profile" Kind::Choice(&["development", "production"]), "development", "production refuses what is not safe";
    "roles" Kind::Roles, ["all"], "What this process does: all; or, on NATS, edge, or zone and services";
    "instance" Kind::Name, NOTHING, "What this process is called among the others; empty: as its machine. A random part follows";
    "nats.servers" Kind::Servers, NO_LIST, "Servers of a NATS cluster to use, as in nats://10.0.0.1:4222; none: messaging in the process";
    "nats.ca_file" Kind::Text, NOTHING, "Authorities (PEM) that may vouch for the NATS servers; empty: those this machine trusts";
    "nats.cert_file" Kind::Text, NOTHING, "The certificate (PEM) by which NATS knows this process";
    "nats.key_file" Kind::Text, NOTHING, "The key (PEM) of that certificate";
    "nats.server_name" Kind::Text, NOTHING, "The name in the NATS servers' certificates, where it is not the host of their address";
    "nats.tls_first" Kind::Flag, false, "TLS from the first byte on, as NATS servers with handshake_first want it";
    "nats.credentials_file" Kind::Text, NOTHING, "Who this process is to NATS: a file as nsc makes it";
    "nats.nkey_file" Kind::Text, NOTHING, "The same: a file with the seed of a user's key (SU...)";
    "nats.user" Kind::Text, NOTHING, "The same: a user's name";
    "nats.password_file" Kind::Text, NOTHING, "The file with that user's password";
    "nats.password" Kind::Text, NOTHING, "The password itself; a file is safer", secret;
    "nats.token_file" Kind::Text, NOTHING, "Who this process is to NATS: a file with the token of all clients";
    "nats.token" Kind::Text, NOTHING, "The token itself; a file is safer", secret;
    "nats.ping_seconds" Kind::Number(2, 300), 10, "How often a connection to NATS is looked at; three looks without an answer make it anew";
    "nats.pool" Kind::Number(1, 16), 1, "Connections to the NATS servers; a subject stays with one of them";
    "nats.replicas" Kind::Number(1, 5), 1, "Copies that the cluster keeps of everything: 1, 3 or 5";
    "subject_prefix" Kind::Text, NOTHING, "What goes before every name on NATS, so that several worlds share a cluster";
    "database" Kind::Text, NOTHING, "A database to use; this version keeps SQLite in the data folder";
    "locale" Kind::Choice(&["en", "de"]), "en", "The language of the server's voice";
    "guests" Kind::Flag, true, "Whether people may enter as guests, without an account";
    "registration" Kind::Flag, true, "Whether people may make accounts";
    "log.format" Kind::Choice(&["readable", "json"]), "readable", "How log lines look";
    "log.level" Kind::Filter, "info", "What is logged: error, warn, info, debug, trace, or a filter as in tidings_edge=debug";
    "http.origins" Kind::List, NO_LIST, "Origins whose pages may use this server beside its own, as in https://play.example";
    "http.secure_cookies" Kind::Flag, false, "Whether cookies are sent by HTTPS alone; true in production";
    "http.web_dir" Kind::Text, NOTHING, "A folder to serve the page from instead of the one in the binary";
    "http.metrics_allowed" Kind::Networks, NO_LIST, "Who beside this machine may read /metrics, as in 10.0.0.0/8";
    "proxy.trusted" Kind::Networks, NO_LIST, "Proxies in front of this server, whose X-Forwarded-For is believed";
    "edge.shards" Kind::Number(0, 1024), 0, "Threads that serve connections; 0: one a core";
    "allow.plaintext_http" Kind::Flag, false, "In production: HTTP without TLS beyond this machine, without a proxy";
    "allow.plaintext_nats" Kind::Flag, false, "In production: NATS without TLS beyond this machine";
    "allow.readable_secrets" Kind::Flag, false, "In production: files with keys and passwords that anybody on this machine may read, the configuration file among them";
    "allow.unlimited_registration" Kind::Flag, false, "In production: open registration or guests without a rate limit";
    "limits.frame_bytes" RATE, 10 * 1024, "Largest frame of a client; 0 turns a limit off";
    "limits.json_depth" RATE, 10, "Deepest nesting of a client's JSON";
    "limits.command_chars" RATE, tidings_protocol::frames::COMMAND_CHARS, "Longest command line, in characters";
    "limits.commands_per_minute" RATE, 120, "Commands a minute, an account";
    "limits.burst" RATE, 20, "Commands at once, after a pause; as many wait";
    "limits.say_per_minute" RATE, 15, "say a minute, a character";
    "limits.local_per_minute" RATE, 20, "local a minute, a character";
    "limits.global_per_minute" RATE, 10, "global a minute, a character";
    "limits.party_per_minute" RATE, 30, "party a minute, a character";
    "limits.whispers_per_minute" RATE, 5, "whisper a minute, a character";
    "limits.whispers_per_person_per_minute" RATE, 3, "whisper a minute to one person";
    "limits.connects_per_minute_per_address" RATE, 60, "Connection attempts a minute, an address";
    "limits.sign_ins_per_minute_per_address" RATE, 10, "Sign-in attempts a minute, an address";
    "limits.accounts_per_minute_per_address" RATE, 10, "Accounts and guests made a minute, an address";
    "limits.outbox_bytes" RATE, 1024 * 1024, "Bytes that wait for one slow reader before it is sent away with resume";
    "limits.dry_run" Kind::Flag, false, "Count what the edge's rates would refuse, and refuse nothing";
    "limits.characters_per_account" Kind::Number(1, 1_000), 8, "Characters of an account";
    "session.grace_seconds" SECONDS, 30, "How long a character stays when its connection is lost";
    "session.heartbeat_seconds" SECONDS, 25, "How often clients are asked to show that they are there";
    "session.stale_seconds" SECONDS, 60, "Without a sign for so long a connection is closed";
    "session.drain_seconds" SECONDS, 20, "How long a server that stops waits for what is under way";
    "retention.minutes" MINUTES, 15, "How far back a client that returns gets what it missed";
    "retention.messages_per_room" Kind::Number(1_000, 1_000_000_000), 10_000, "And how many lines of each audience at most";
    "retention.history_days" Kind::Number(1, 36_500), 30, "How long chat history is kept";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds() {
        for key in KEYS {
            let value = (key.default)();
            assert_eq!(key.kind.check(value.clone()), Ok(value), "{}", key.name);
        }
    }

    #[test]
    fn no_two_keys_share_a_name_or_a_variable() {
        let names: std::collections::BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: std::collections::BTreeSet<_> = KEYS.iter().map(Key::variable).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
    }
}
