//! The load on a cluster while it is broken: owners who commit, followers, publishers and those who hear them, workers,
//! askers. Each part checks itself; together they are compared with what is stored at the end.

mod asks;
mod commits;
mod follows;
mod says;
mod works;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidings_bus::resilience::HealthConfig;
use tidings_bus::{Bus, BusConfig, ErrorKind, Nats, NatsConfig, Retention, Subject};
use tidings_test_support::NatsCluster;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::checker::registry;
use crate::pulse::{Pulse, Silences, Verb};
use crate::verdict::Verdict;

/// How long each part rests between two of its calls: the load is there to be checked, not to be the fault.
const PACE: Duration = Duration::from_millis(10);
/// How long everything may take to work again once nothing is wrong any more.
const BACK_WITHIN: Duration = Duration::from_secs(90);

/// What every part is given.
pub struct Stage {
    pub begun: Instant,
    pub stop: CancellationToken,
    pub verdict: Verdict,
    pulses: Mutex<Vec<Arc<Pulse>>>,
    errors: Mutex<BTreeMap<(Verb, &'static str), u64>>,
}

impl Stage {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            stop: CancellationToken::new(),
            verdict: Verdict::default(),
            pulses: Mutex::default(),
            errors: Mutex::default(),
        })
    }

    pub fn pulse(&self, verb: Verb, name: impl Into<String>) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(verb, name.into(), self.begun));
        self.pulses.lock().push(pulse.clone());
        pulse
    }

    /// A call that was refused or failed: allowed while something is wrong, and counted.
    pub fn error(&self, verb: Verb, kind: ErrorKind) {
        *self.errors.lock().entry((verb, kind.as_str())).or_default() += 1;
    }

    /// The time, as it is written into messages.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).expect("a run is not that long")
    }

    /// Rests; whether it goes on.
    pub async fn rest(&self, pace: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pace) => true,
        }
    }
}

/// The load, and the processes' connections it runs over.
pub struct Load {
    pub backends: Vec<Arc<Nats>>,
    stage: Arc<Stage>,
    tasks: Vec<JoinHandle<()>>,
    commits: commits::Commits,
    follows: Vec<follows::Follows>,
    says: says::Says,
    works: works::Works,
    asks: asks::Asks,
}

fn config(urls: Vec<String>) -> NatsConfig {
    let health = HealthConfig::each(Duration::from_secs(2));
    NatsConfig {
        servers: urls,
        replicas: 3,
        // What is further back than that is read from the stream.
        tail_bytes: 512 * 1024,
        bus: BusConfig { health, ..BusConfig::default() },
        ..NatsConfig::default()
    }
    .retain("zone.*.owner", Retention::LAST)
    .retain("zone.*.log", Retention::UNTIL_TRIMMED)
    .retain("room.*.log", Retention::UNTIL_TRIMMED)
}

/// A cluster takes some time until it can store anything.
async fn connect(cluster: &NatsCluster) -> Arc<Nats> {
    let begun = Instant::now();
    loop {
        match Nats::connect(config(cluster.urls()), registry()).await {
            Ok(backend) => return backend,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(90), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Load {
    /// Starts everything, over three connections.
    pub async fn start(cluster: &NatsCluster) -> Self {
        let mut backends = Vec::new();
        for _ in 0..3 {
            backends.push(connect(cluster).await);
        }
        let buses: Vec<Bus> = backends.iter().map(|one| Bus::new(one.clone(), registry())).collect();
        let stage = Stage::new();
        let mut tasks = Vec::new();
        let commits = commits::start(&stage, &buses, &mut tasks);
        let follows =
            buses[1..].iter().map(|bus| follows::start(&stage, bus, &commits.logs, &mut tasks)).collect();
        let says = says::start(&stage, &buses, &mut tasks).await;
        let works = works::start(&stage, &buses, &mut tasks);
        let asks = asks::start(&stage, &buses, &mut tasks).await;
        Self { backends, stage, tasks, commits, follows, says, works, asks }
    }

    /// Forgets the silences of before.
    pub fn reset(&self) {
        self.stage.pulses.lock().iter().for_each(|pulse| pulse.reset());
    }

    /// Waits until every part has done something that it began after this moment; how long each verb was silent.
    pub async fn works_again(&self) -> Silences {
        let since = Instant::now();
        loop {
            let pulses = self.stage.pulses.lock().clone();
            let silent: Vec<&str> =
                pulses.iter().filter(|one| !one.beats_since(since)).map(|one| one.name.as_str()).collect();
            if silent.is_empty() {
                return Silences::of(pulses.iter().map(|pulse| &**pulse));
            }
            if since.elapsed() > BACK_WITHIN {
                self.stage.verdict.wrong("not back in time", silent.join(", "));
                return Silences::of(pulses.iter().map(|pulse| &**pulse));
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Ends everything and compares; whether nothing was wrong.
    pub async fn check(self) -> bool {
        let Self { backends, stage, tasks, commits, follows, says, works, asks } = self;
        stage.stop.cancel();
        for task in tasks {
            if let Err(error) = task.await {
                stage.verdict.wrong("a part of the load ended", error.to_string());
            }
        }
        let bus = Bus::new(backends[0].clone(), registry());
        let stored = commits.check(&stage, &bus).await;
        for (number, one) in follows.into_iter().enumerate() {
            one.check(&stage, number, &stored).await;
        }
        works.check(&stage, &bus).await;
        says.check(&stage);
        asks.check(&stage);
        let errors = std::mem::take(&mut *stage.errors.lock());
        for ((verb, kind), count) in errors {
            println!("  {verb:?}: {count} calls ended in {kind}");
        }
        stage.verdict.print()
    }
}

fn subject(bus: &Bus, template: &str, parameter: &str) -> Subject {
    bus.registry().subject(template, &[parameter]).expect("the registry has it")
}

/// A number that a message carries, at its place among the words.
fn number(text: &str, place: usize) -> u64 {
    text.split(' ').nth(place).and_then(|word| word.parse().ok()).unwrap_or(u64::MAX)
}

fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).expect("the load writes text")
}
