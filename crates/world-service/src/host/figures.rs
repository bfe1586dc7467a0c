//! A zone's figures, looked up once.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tidings_protocol::{Text, ZoneId};

/// A zone's figures.
pub struct Figures {
    /// Inputs decided.
    pub inputs: Counter,
    /// Commits that were stored.
    pub commits: Counter,
    /// Messages of a commit.
    pub commit_records: Histogram,
    /// Bytes of a commit.
    pub commit_bytes: Histogram,
    /// Seconds of a commit.
    pub commit_seconds: Histogram,
    /// Commits refused because another host owns the zone.
    pub fenced: Counter,
    /// Commits that failed otherwise.
    pub failed: Counter,
    /// Requests that could not be read.
    pub malformed: Counter,
    /// Events that no log takes.
    pub left_out: Counter,
    /// Inputs that were decided in one batch: how far the zone is behind.
    pub waiting: Gauge,
    /// Bytes of a checkpoint.
    pub checkpoint_bytes: Gauge,
    /// Letters that other zones are not known to have.
    pub letters: Gauge,
}

impl Figures {
    /// Of a zone.
    pub fn new(zone: &ZoneId) -> Self {
        let label = [("zone", zone.to_string())];
        Self {
            inputs: counter!("tidings_zone_inputs_total", &label),
            commits: counter!("tidings_zone_commits_total", &label),
            commit_records: histogram!("tidings_zone_commit_records", &label),
            commit_bytes: histogram!("tidings_zone_commit_bytes", &label),
            commit_seconds: histogram!("tidings_zone_commit_seconds", &label),
            fenced: counter!("tidings_zone_fenced_total", &label),
            failed: counter!("tidings_zone_commit_failures_total", &label),
            malformed: counter!("tidings_zone_malformed_total", &label),
            left_out: counter!("tidings_zone_events_left_out_total", &label),
            waiting: gauge!("tidings_zone_inputs_waiting", &label),
            checkpoint_bytes: gauge!("tidings_zone_checkpoint_bytes", &label),
            letters: gauge!("tidings_zone_letters_waiting", &label),
        }
    }

    /// A letter that found no room, or a command that would have posted one.
    pub fn not_posted(&self) {
        counter!("tidings_zone_letters_refused_total").increment(1);
    }

    /// A refusal: counted where a verb's limit was reached, by the limit, and where letters found no room.
    pub fn refused(&self, why: &Text) {
        if &*why.key == "refuse.far" {
            self.not_posted();
        }
        if let Some(limit) = why.key.strip_prefix("flood.") {
            counter!("tidings_zone_limit_violations_total", "limit" => limit.to_owned()).increment(1);
        }
    }
}
