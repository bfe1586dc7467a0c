//! The parts of the configuration as the crates take them.

use std::path::PathBuf;
use std::time::Duration;

use tidings_edge::config::{EdgeConfig, FrameLimits, Retention, SessionTimes};
use tidings_edge::http::HttpConfig;
use tidings_edge::limits::{Network, Rates};
use tidings_protocol::ZoneId;

use super::Config;

impl Config {
    fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(self.number(key))
    }

    pub(super) fn size(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    fn rate(&self, key: &str) -> u32 {
        u32::try_from(self.number(key)).unwrap_or(u32::MAX)
    }

    fn networks(&self, key: &str) -> Vec<Network> {
        self.list(key).iter().map(|text| text.parse().expect("a network by its kind")).collect()
    }

    /// How an edge of this name is set up.
    pub fn edge(&self, name: &str) -> EdgeConfig {
        EdgeConfig {
            edge: name.to_owned(),
            shards: self.size("edge.shards"),
            locale: self.text("locale").to_owned(),
            limits: FrameLimits {
                frame_bytes: self.size("limits.frame_bytes"),
                json_depth: self.size("limits.json_depth"),
                command_chars: self.size("limits.command_chars"),
                burst: self.size("limits.burst"),
                outbox_bytes: self.size("limits.outbox_bytes"),
            },
            session: SessionTimes {
                heartbeat: self.seconds("session.heartbeat_seconds"),
                stale: self.seconds("session.stale_seconds"),
                ..SessionTimes::default()
            },
            retention: Retention {
                age: self.retention(),
                messages: self.size("retention.messages_per_room"),
            },
            ..EdgeConfig::default()
        }
    }

    /// How often addresses and accounts may do things, at an edge.
    pub fn rates(&self) -> Rates {
        Rates {
            commands_per_minute: self.rate("limits.commands_per_minute"),
            burst: self.rate("limits.burst"),
            connects_per_minute_per_address: self.rate("limits.connects_per_minute_per_address"),
            sign_ins_per_minute_per_address: self.rate("limits.sign_ins_per_minute_per_address"),
            accounts_per_minute_per_address: self.rate("limits.accounts_per_minute_per_address"),
            dry_run: self.flag("limits.dry_run"),
        }
    }

    /// How HTTP is served.
    pub fn http(&self) -> HttpConfig {
        let web_dir = self.text("http.web_dir");
        HttpConfig {
            origins: self.list("http.origins").to_vec(),
            trusted_proxies: self.networks("proxy.trusted"),
            metrics_allowed: self.networks("http.metrics_allowed"),
            secure_cookies: self.flag("http.secure_cookies"),
            guests: self.flag("guests"),
            web_dir: (!web_dir.is_empty()).then(|| PathBuf::from(web_dir)),
            ..HttpConfig::default()
        }
    }

    /// The rules' limits and times.
    pub fn rules(&self) -> tidings_world::zone::Config {
        tidings_world::zone::Config {
            limits: tidings_world::limits::Limits {
                say_per_minute: self.rate("limits.say_per_minute"),
                local_per_minute: self.rate("limits.local_per_minute"),
                global_per_minute: self.rate("limits.global_per_minute"),
                party_per_minute: self.rate("limits.party_per_minute"),
                whispers_per_minute: self.rate("limits.whispers_per_minute"),
                whispers_per_person_per_minute: self.rate("limits.whispers_per_person_per_minute"),
            },
            grace_ms: i64::try_from(self.seconds("session.grace_seconds").as_millis()).unwrap_or(i64::MAX),
            command_chars: self.size("limits.command_chars"),
        }
    }

    /// How accounts are kept.
    pub fn account(&self) -> tidings_world_service::account::Config {
        tidings_world_service::account::Config {
            registration: self.flag("registration"),
            guests: self.flag("guests"),
            characters_max: self.size("limits.characters_per_account"),
            // No single address may keep an account's owner out.
            sign_ins_per_minute_per_name: self
                .rate("limits.sign_ins_per_minute_per_address")
                .saturating_mul(10),
            ..tidings_world_service::account::Config::default()
        }
    }

    /// How sessions are kept, in a world of these zones that is entered by the first.
    pub fn session(&self, start: ZoneId, zones: Vec<ZoneId>) -> tidings_world_service::session::Config {
        tidings_world_service::session::Config {
            zones,
            retention: self.retention(),
            ..tidings_world_service::session::Config::new(start)
        }
    }

    /// How far back a client that returns gets what it missed.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(60 * self.number("retention.minutes"))
    }

    /// Messages kept of each audience.
    pub fn retention_messages(&self) -> usize {
        self.size("retention.messages_per_room")
    }

    /// How chat history is kept.
    pub fn chat(&self) -> tidings_world_service::chat::Config {
        tidings_world_service::chat::Config {
            keep: Duration::from_secs(24 * 60 * 60 * self.number("retention.history_days")),
            ..tidings_world_service::chat::Config::default()
        }
    }

    /// How long a server that stops waits for what is under way.
    pub fn drain(&self) -> Duration {
        self.seconds("session.drain_seconds")
    }
}
