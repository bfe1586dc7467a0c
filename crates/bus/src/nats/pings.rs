//! Pings of a connection: a message to its own inbox and back, the way that every answer takes.
//!
//! The client pings its server too, but tells nobody how long that took, and gives a silent one longer. A connection that
//! misses is `degraded`; one that keeps missing is made anew, though its socket looks open.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};
use tokio::time::Instant;

use crate::nats::connection::Connection;
use crate::nats::member::Member;
use crate::resilience::health::Missed;
use crate::resilience::{HealthConfig, HealthReport, Move};

/// The pings of one member.
pub(crate) struct Pings {
    connection: Arc<Connection>,
    member: Arc<Member>,
    config: HealthConfig,
    took: Histogram,
    missed: Counter,
    stale: Counter,
    score: Gauge,
    own_score: Gauge,
    sent: Counter,
}

impl Pings {
    pub(crate) fn new(connection: Arc<Connection>, member: Arc<Member>, config: HealthConfig) -> Self {
        let number = member.number.to_string();
        Self {
            connection,
            member,
            config,
            took: metrics::histogram!("tidings_bus_ping_seconds"),
            missed: metrics::counter!("tidings_bus_pings_missed_total"),
            stale: metrics::counter!("tidings_bus_stale_connections_total"),
            score: metrics::gauge!("tidings_bus_health_score"),
            own_score: metrics::gauge!("tidings_bus_pool_member_score", "member" => number.clone()),
            sent: metrics::counter!("tidings_bus_pool_sent_total", "member" => number),
        }
    }

    pub(crate) async fn run(self) {
        let stop = self.connection.stop.clone();
        stop.run_until_cancelled(self.beat()).await;
    }

    async fn beat(&self) {
        let mut link = self.member.line.link();
        loop {
            if !link.borrow_and_update().up {
                self.member.health.lock().lost();
                self.show();
                if link.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let answered = self.ping().await;
            self.show();
            if answered {
                // A service that answers nobody raises a doubt with each call.
                let doubt = async {
                    tokio::time::sleep(self.config.silence).await;
                    self.member.doubt.rises().await;
                };
                let doubted = tokio::select! {
                    () = tokio::time::sleep(self.config.every) => false,
                    () = doubt => true,
                    _ = link.wait_for(|link| !link.up) => false,
                };
                if doubted {
                    self.probe().await;
                }
            }
        }
    }

    /// A call was left without an answer: whoever serves it may be slow, or the connection dead.
    async fn probe(&self) {
        let (heard, until) = (self.member.heard(), Instant::now() + self.config.silence);
        if self.member.round_trip(self.config.silence).await.is_some() {
            return;
        }
        // One that could not be sent is told at once.
        tokio::time::sleep_until(until).await;
        if self.member.heard() == heard && self.member.line.is_up() {
            self.missed.increment(1);
            self.member.health.lock().missed(&self.config);
            self.member.line.make(Move::Falter);
            self.make_anew("a connection leaves calls without an answer and brings nothing: it is made anew")
                .await;
        }
    }

    /// One ping, and what follows from it; whether it came back in time.
    async fn ping(&self) -> bool {
        let (begun, line) = (Instant::now(), &self.member.line);
        let heard = self.member.heard();
        // Of before: an answer to this ping refutes it.
        self.member.doubt.take();
        if let Some(took) = self.member.round_trip(self.config.pong_wait).await {
            self.took.record(took);
            self.member.health.lock().pong(took);
            line.make(Move::Recover);
            return true;
        }
        // One that could not be sent is missed as well, but not sooner.
        tokio::time::sleep_until(begun + self.config.pong_wait).await;
        if !line.is_up() {
            return false;
        }
        self.missed.increment(1);
        let missed = self.member.health.lock().missed(&self.config);
        line.make(Move::Falter);
        let silent = self.member.doubt.take() && self.member.heard() == heard;
        if missed == Missed::Stale || silent {
            self.make_anew("a connection does not answer: it is made anew").await;
        }
        false
    }

    async fn make_anew(&self, why: &'static str) {
        self.stale.increment(1);
        tracing::warn!(member = self.member.number, "{why}");
        self.show();
        let mut link = self.member.line.link();
        let lost = async {
            // The client may be unable to take anything: then its own pings end the connection.
            if let Some(client) = self.member.client() {
                let _ = client.force_reconnect().await;
            }
            let _ = link.wait_for(|link| !link.up).await;
        };
        let _ = tokio::time::timeout(self.config.pong_wait, lost).await;
        self.member.health.lock().lost();
    }

    fn show(&self) {
        let circuits = self.connection.guard.breakers().not_closed();
        let own = self.member.health.lock().report(&self.config, circuits);
        self.own_score.set(f64::from(own.score));
        self.sent.absolute(self.member.sent());
        self.score.set(f64::from(self.connection.health().score));
    }
}

impl Connection {
    /// How the pool does: healthy while a member is; its score is the mean of theirs, all else that of the worst.
    pub(crate) fn health(&self) -> HealthReport {
        let circuits = self.guard.breakers().not_closed();
        let config = &self.making.config.bus.health;
        let reports = self.members.iter().map(|member| member.health.lock().report(config, circuits));
        let mut all = HealthReport { healthy: false, score: 0, misses: 0, round_trip: None };
        let mut scores = 0;
        for report in reports {
            all.healthy |= report.healthy;
            all.misses = all.misses.max(report.misses);
            all.round_trip = all.round_trip.max(report.round_trip);
            scores += usize::from(report.score);
        }
        all.score = u8::try_from(scores / self.members.len()).unwrap_or(u8::MAX);
        all
    }
}

/// How often the client itself pings. Where so much waits to be written that it takes no word from us, its third ping
/// without an answer ends the connection, within three intervals as well.
pub(crate) fn client_pings(config: &HealthConfig) -> Duration {
    config.every.mul_f64(0.9)
}
