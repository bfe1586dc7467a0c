//! A run: a load on a cluster, faults one after the other, and the verdict.

use std::time::{Duration, Instant};

use tidings_test_support::{NatsCluster, memory};

use crate::load::Load;
use crate::plan::{SERVERS, Step};
use crate::strike::{settled, strike};

/// What a run may add to this process, with three connections and the whole load in it: the tails of three processes are
/// 2 MiB, what a run notes of itself is the rest. As many runs go at once as there are cores.
const GROWTH_MAX: u64 = 256 << 20;
/// What a server may hold.
const SERVER_MAX: u64 = 768 << 20;

/// Goes through steps until one would begin after `span`; whether everything held.
pub async fn run(version: &str, what: &str, steps: impl Iterator<Item = Step>, span: Duration) -> bool {
    let before = memory::own();
    let mut cluster = NatsCluster::start(version, SERVERS).await.expect("a cluster");
    let load = Load::start(&cluster).await;
    settled(&cluster).await.expect("a whole cluster");
    load.works_again().await;
    println!("{what}: nats-server {version}, {SERVERS} servers, everything works");
    let begun = Instant::now();
    let mut most = Most::default();
    for step in steps {
        if begun.elapsed() + step.wait >= span {
            break;
        }
        tokio::time::sleep(step.wait).await;
        load.reset();
        let at = begun.elapsed();
        let node = strike(&mut cluster, &load.backends[0], &step).await.expect("a fault");
        let lasted = begun.elapsed() - at;
        let silences = load.works_again().await;
        let whole = settled(&cluster).await.expect("a whole cluster");
        most.look(&cluster);
        println!(
            "{what}: {:6.1} s: {} (n{node}) for {:.1} s; silent: {silences}; all replicas {:.1} s later",
            at.as_secs_f64(),
            step.fault,
            lasted.as_secs_f64(),
            whole.as_secs_f64()
        );
    }
    let held = load.check().await;
    most.look(&cluster);
    let bounded = most.is_bounded(before);
    println!(
        "{what}: {} after {:.0?}",
        if held && bounded { "everything held" } else { "BROKEN" },
        begun.elapsed()
    );
    held && bounded
}

/// The most memory that was seen.
#[derive(Default)]
struct Most {
    own: u64,
    server: u64,
}

impl Most {
    fn look(&mut self, cluster: &NatsCluster) {
        self.own = self.own.max(memory::own().unwrap_or(0));
        let servers = cluster.servers.iter().filter_map(tidings_test_support::NatsServer::memory);
        self.server = servers.fold(self.server, u64::max);
    }

    fn is_bounded(&self, before: Option<u64>) -> bool {
        let Some(before) = before else {
            println!("memory: this system does not say");
            return true;
        };
        let growth = self.own.saturating_sub(before);
        let at_once = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let growth_max = GROWTH_MAX * at_once;
        println!(
            "memory: this process grew by {} MiB of {}, a server held {} MiB of {}",
            growth >> 20,
            growth_max >> 20,
            self.server >> 20,
            SERVER_MAX >> 20
        );
        growth <= growth_max && self.server <= SERVER_MAX
    }
}
