//! In which order services and zones end: seen by who asks both meanwhile.

use std::time::{Duration, Instant};

use tidings_bus::{Embedded, EmbeddedConfig};
use tidings_protocol::proto::services::v1::{AccountInfo, Empty, RegisterRequest, SessionRequest};
use tidings_protocol::proto::world::v1::{StateQuery, ZoneRequest, zone_request};
use tidings_protocol::{ErrorCode, ZoneId};
use tidings_service::{CallError, Caller, declare, subjects};
use tidings_test_support::small_world;
use tokio::task::JoinSet;

use super::*;
use crate::config::Sources;
use crate::data::Held;

const SOON: Duration = Duration::from_secs(20);
/// Passwords that are hashed one after the other: service calls that are under way for a while.
const REGISTERED: usize = 32;

/// A keeper of a small world in memory, which holds the key as one on a cluster does.
async fn keeper(folder: &tempfile::TempDir) -> (Keeper, Bus) {
    let registry = Arc::new(subjects::registry(None).expect("the table is sound"));
    let backend = Embedded::open(declare(EmbeddedConfig::default())).expect("in memory");
    let (bus, health) = (Bus::new(backend, registry), Health::new());
    let Held::Ours(folder) = DataFolder::hold(folder.path(), Duration::ZERO).expect("a folder") else {
        panic!("nobody else has it")
    };
    let content = Arc::new(Content::load(&small_world()).expect("no mistake"));
    let keeping = Keeping { content, folder, store: Store::memory().await.expect("in memory") };
    let config = Config::read(&Sources::default()).expect("the defaults");
    let mut keeper = Keeper::start(&config, "first", &keeping, &bus, &health).await.expect("it starts");
    let sole = SoleKeeper::take(&bus, "first", &keeping.folder, &health).await.expect("nobody else has it");
    keeper.sole = Some(sole);
    until(async || zone_answers(&Caller::new(bus.clone())).await).await;
    (keeper, bus)
}

async fn until(so: impl AsyncFn() -> bool) {
    let asked = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("it came to be");
}

/// Whether there is an answer, be it a refusal.
fn answered<T>(answer: Result<T, CallError>) -> bool {
    !matches!(answer, Err(error) if error.code == ErrorCode::Unavailable)
}

async fn zone_answers(caller: &Caller) -> bool {
    let zone: ZoneId = "town".parse().expect("a zone");
    let ask = Some(zone_request::Ask::State(StateQuery::default()));
    answered(caller.zone(&zone, &ZoneRequest { ask }, SOON).await)
}

async fn service_answers(caller: &Caller) -> bool {
    answered(caller.call::<_, Empty>("session", "lost", &SessionRequest::default(), SOON).await)
}

fn register(caller: &Caller, number: usize) -> impl Future<Output = Result<AccountInfo, CallError>> + use<> {
    let (caller, username) = (caller.clone(), format!("ann{number}"));
    let request = RegisterRequest { username, password: "correct horse".into(), address: "::1".into() };
    async move { caller.call("account", "register", &request, SOON).await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_another_has_both_services_end_before_zones() {
    let folder = tempfile::tempdir().expect("a folder");
    let (keeper, bus) = keeper(&folder).await;
    let caller = Caller::new(bus.clone());
    let sole = keeper.sole().expect("it holds the key");
    let (lost, lease) = (sole.lost().clone(), sole.lease().clone());
    let leases = bus.kv("leases").expect("a bucket");
    leases.put("storage.keeper", "second".into(), None).await.expect("taken over");
    lease.extend(Instant::now());
    assert!(!lease.is_held(), "and whoever renews it looks at once");
    tokio::time::timeout(SOON, lost.cancelled()).await.expect("it sees that another has it");

    let mut registering: JoinSet<_> = (0..REGISTERED).map(|number| register(&caller, number)).collect();
    let first = registering.join_next().await.expect("one of them");
    first.expect("no panic").expect("registered: the others wait for their turn");
    let draining = tokio::spawn(keeper.drain(SOON));
    until(async || !service_answers(&caller).await).await;
    assert!(
        zone_answers(&caller).await,
        "the zones end after the services, some of whose calls are under way"
    );
    assert!(!registering.is_empty() && !draining.is_finished());
    for registered in registering.join_all().await {
        registered.expect("what was taken before is answered");
    }
    draining.await.expect("it ends");
    assert!(!zone_answers(&caller).await);
}
