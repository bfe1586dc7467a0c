//! Pings of the connection: a message to its own inbox and back, the way that every answer takes.
//!
//! The client pings its server too, but tells nobody how long that took, and gives a silent one longer. A connection that
//! misses is `degraded`; one that keeps missing is made anew, though its socket looks open.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::{Counter, Gauge, Histogram};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::nats::connection::Connection;
use crate::resilience::health::{Health, Missed};
use crate::resilience::{HealthConfig, HealthReport, Move};

pub(crate) struct Pings {
    connection: Arc<Connection>,
    config: HealthConfig,
    health: Mutex<Health>,
    took: Histogram,
    missed: Counter,
    stale: Counter,
    score: Gauge,
}

impl Pings {
    pub(crate) fn new(connection: Arc<Connection>, config: HealthConfig) -> Arc<Self> {
        Arc::new(Self {
            connection,
            config,
            health: Mutex::default(),
            took: metrics::histogram!("tidings_bus_ping_seconds"),
            missed: metrics::counter!("tidings_bus_pings_missed_total"),
            stale: metrics::counter!("tidings_bus_stale_connections_total"),
            score: metrics::gauge!("tidings_bus_health_score"),
        })
    }

    /// How the connection does.
    pub(crate) fn report(&self) -> HealthReport {
        let circuits = self.connection.guard.breakers().not_closed();
        self.health.lock().report(&self.config, circuits)
    }

    pub(crate) async fn run(self: Arc<Self>) {
        let stop = self.connection.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.beat() => {}
        }
    }

    async fn beat(&self) {
        let mut link = self.connection.link();
        loop {
            if !link.borrow_and_update().up {
                self.health.lock().lost();
                self.show();
                if link.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let answered = self.ping().await;
            self.show();
            if answered {
                tokio::select! {
                    () = tokio::time::sleep(self.config.every) => {}
                    _ = link.wait_for(|link| !link.up) => {}
                }
            }
        }
    }

    /// One ping, and what follows from it; whether it came back in time.
    async fn ping(&self) -> bool {
        let begun = Instant::now();
        let (place, answered) = self.connection.place();
        let there_and_back = async {
            self.connection.send(place.reply(), None, None, Bytes::new()).await.ok()?;
            answered.await.ok()
        };
        let pong = tokio::time::timeout(self.config.pong_wait, there_and_back).await;
        let states = &self.connection.line.states;
        if matches!(pong, Ok(Some(_))) {
            self.took.record(begun.elapsed());
            self.health.lock().pong(begun.elapsed());
            states.try_make(Move::Recover);
            return true;
        }
        // One that could not be sent is missed as well, but not sooner.
        tokio::time::sleep_until(begun + self.config.pong_wait).await;
        if !self.connection.link().borrow().up {
            return false;
        }
        self.missed.increment(1);
        let missed = self.health.lock().missed(&self.config);
        states.try_make(Move::Falter);
        if missed == Missed::Stale {
            self.make_anew().await;
        }
        false
    }

    async fn make_anew(&self) {
        self.stale.increment(1);
        tracing::warn!(misses = self.config.misses, "the connection does not answer: it is made anew");
        self.show();
        let mut link = self.connection.link();
        let lost = async {
            // The client may be unable to take anything: then its own pings end the connection.
            let _ = self.connection.client.force_reconnect().await;
            let _ = link.wait_for(|link| !link.up).await;
        };
        let _ = tokio::time::timeout(self.config.pong_wait, lost).await;
        self.health.lock().lost();
    }

    fn show(&self) {
        self.score.set(f64::from(self.report().score));
    }
}

/// How often the client itself pings. Where so much waits to be written that it takes no word from us, its third ping
/// without an answer ends the connection, within three intervals as well.
pub(crate) fn client_pings(config: &HealthConfig) -> Duration {
    config.every.mul_f64(0.9)
}
