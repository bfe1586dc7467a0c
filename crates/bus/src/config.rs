//! How the bus behaves: every default of its resilience in one place.

use std::time::Duration;

use crate::batch::BatchConfig;
use crate::error::{Error, ErrorKind};
use crate::handler::HandlerConfig;
use crate::resilience::{BreakerConfig, HealthConfig, RetryConfig};

/// How the bus behaves. A handle reads the checks; the NATS backend, which has a network to cope with, reads the rest. The
/// embedded one has none: nothing of it is on its way.
///
/// ```
/// use std::time::Duration;
/// use tidings_bus::{BusConfig, ErrorKind};
///
/// let mut config = BusConfig::default();
/// config.retry.attempts = 0;
/// config.health.pong_wait = Duration::from_secs(60);
/// let error = config.check().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert!(error.to_string().contains("retry.attempts") && error.to_string().contains("health.pong_wait"));
/// ```
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// Whether an outbound payload must have its message's form.
    pub check_outbound: bool,
    /// Whether an inbound payload must have its message's form: one that has not is counted and skipped, or
    /// dead-lettered where it is work. What this process has committed or asked itself, checked by the same registry, is
    /// not looked at again.
    pub check_inbound: bool,
    /// How long a connection to one address may take.
    pub connect_wait: Duration,
    /// The delay before connecting anew is drawn between nothing and this; it doubles with each attempt that fails.
    pub reconnect_first: Duration,
    /// No such delay is drawn from more than this: what a cluster that is back waits for a process at most.
    pub reconnect_most: Duration,
    /// How long a commit, a write of key/value or a read may take, repeats included: a minute at most, since the
    /// server remembers for two what it has stored. A request brings its own.
    pub deadline: Duration,
    /// How long one try may take of a call that may arrive twice: an answer that a dying leader never sent is not waited
    /// for much longer than an election takes.
    pub try_wait: Duration,
    /// How calls are repeated.
    pub retry: RetryConfig,
    /// When a destination is left alone. So many attempts to connect that fail in a row open the connection's circuit, too.
    pub breaker: BreakerConfig,
    /// How the connection is judged.
    pub health: HealthConfig,
    /// How handlers of work run: for `Work::handle`.
    pub handler: HandlerConfig,
    /// How batches are made: for `Bus::batcher`.
    pub batch: BatchConfig,
}

/// No call is repeated for longer: well within the two minutes that the server remembers message ids.
const REPEAT_DEADLINE: Duration = Duration::from_secs(60);

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            check_outbound: true,
            check_inbound: true,
            connect_wait: Duration::from_secs(5),
            reconnect_first: Duration::from_millis(100),
            reconnect_most: Duration::from_secs(5),
            // An election takes some seconds: a caller who can wait sees it as a slow answer, not as a failure.
            deadline: Duration::from_secs(15),
            try_wait: Duration::from_secs(3),
            retry: RetryConfig::default(),
            breaker: BreakerConfig::default(),
            health: HealthConfig::default(),
            handler: HandlerConfig::default(),
            batch: BatchConfig::default(),
        }
    }
}

impl BusConfig {
    /// Refuses settings that cannot hold, all of them in one error, each by its name.
    pub fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        let waits = [
            ("connect_wait", self.connect_wait),
            ("reconnect_first", self.reconnect_first),
            ("deadline", self.deadline),
            ("try_wait", self.try_wait),
        ];
        for (name, wait) in waits {
            if wait.is_zero() {
                wrong.push(format!("{name} is nothing: it has to be some time"));
            }
        }
        if self.reconnect_first > self.reconnect_most {
            let Self { reconnect_first, reconnect_most, .. } = self;
            wrong.push(format!(
                "reconnect_first is {reconnect_first:?}: at most reconnect_most, {reconnect_most:?}"
            ));
        }
        if self.deadline > REPEAT_DEADLINE {
            wrong.push(format!("deadline is {:?}: at most {REPEAT_DEADLINE:?}", self.deadline));
        }
        self.retry.check(&mut wrong);
        self.breaker.check(&mut wrong);
        self.health.check(&mut wrong);
        self.handler.check(&mut wrong);
        self.batch.check(&mut wrong);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, format!("settings of the bus: {}", wrong.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        BusConfig::default().check().unwrap();
    }

    #[test]
    fn each_setting_is_named() {
        let second = Duration::from_secs(1);
        type Change = fn(&mut BusConfig);
        let cases: [(&str, Change); 14] = [
            ("connect_wait", |config| config.connect_wait = Duration::ZERO),
            ("reconnect_first", |config| config.reconnect_first = config.reconnect_most * 2),
            ("deadline", |config| config.deadline = REPEAT_DEADLINE * 2),
            ("try_wait", |config| config.try_wait = Duration::ZERO),
            ("retry.attempts", |config| config.retry.attempts = 0),
            ("retry.first", |config| config.retry.first = config.retry.most * 2),
            ("retry.budget_percent", |config| config.retry.budget_percent = 101),
            ("breaker.in_a_row", |config| config.breaker.in_a_row = 0),
            ("breaker.percent", |config| config.breaker.percent = 0),
            ("breaker.open_first", |config| config.breaker.open_first = config.breaker.open_most * 2),
            ("breaker.destinations", |config| config.breaker.destinations = 0),
            ("handler.concurrency", |config| config.handler.concurrency = 0),
            ("batch.messages", |config| config.batch.messages = 1_001),
            ("health.pong_wait", |config| config.health.pong_wait = config.health.every),
        ];
        for (name, change) in cases {
            let mut config = BusConfig::default();
            change(&mut config);
            let error = config.check().expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Config);
            let told = error.to_string();
            assert!(told.contains(&format!("{name} is ")) && !told.contains(';'), "{name}: {told}");
        }
        let both = BusConfig { connect_wait: Duration::ZERO, deadline: 600 * second, ..BusConfig::default() };
        let told = both.check().unwrap_err().to_string();
        assert!(told.contains("connect_wait") && told.contains("deadline"), "{told}");
    }
}
