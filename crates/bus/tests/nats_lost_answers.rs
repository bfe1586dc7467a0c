//! Writes of a key whose answer never comes: the repeat meets what the first try left, and that is no one else's.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
mod checker;

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, BusConfig, Error, Kv, Nats, NatsConfig};
use tidings_test_support::{NatsServer, Proxy, Wire, newest_nats};

use crate::checker::registry;
use crate::checker::servers::{config, connect};

const SOON: Duration = Duration::from_secs(30);
/// How late everything is where an answer is to be lost: long enough to see what is stored meanwhile.
const LATE: Duration = Duration::from_millis(400);

/// One key as the bus sees it through a proxy, and past it.
struct Both {
    near: Kv,
    past: Kv,
    proxy: Proxy,
    _keep: (NatsServer, Bus, Bus),
}

impl Both {
    async fn start() -> Self {
        let server = NatsServer::start(newest_nats()).unwrap();
        let proxy =
            Proxy::start(server.url().strip_prefix("nats://").unwrap().parse().unwrap()).await.unwrap();
        let servers = [server];
        let (_, past) = connect(&servers).await;
        // Longer than there and back, late.
        let bus = BusConfig { try_wait: LATE * 4, ..config(&servers).bus };
        let through = NatsConfig { servers: vec![proxy.url()], bus, ..config(&servers) };
        let near = Bus::new(Nats::connect(through, registry()).await.unwrap(), registry());
        let [server] = servers;
        let (through, beside) = (near.kv("leases").unwrap(), past.kv("leases").unwrap());
        Self { near: through, past: beside, proxy, _keep: (server, near, past) }
    }

    /// A write of the key whose first answer is cut off once the server has stored it; then `meanwhile`.
    async fn lost<T>(
        &self,
        write: impl Future<Output = Result<T, Error>>,
        meanwhile: impl Future<Output = Result<u64, Error>>,
    ) -> (T, u64) {
        let before = self.revision().await;
        self.proxy.set(Wire::Late(LATE));
        let cut = async {
            while self.revision().await == before {}
            self.proxy.set(Wire::Cut);
            while self.proxy.open() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let meanwhile = meanwhile.await.unwrap();
            self.proxy.set(Wire::Through);
            meanwhile
        };
        let both = async { tokio::join!(write, cut) };
        let (written, meanwhile) = tokio::time::timeout(SOON, both).await.unwrap();
        (written.unwrap(), meanwhile)
    }

    async fn revision(&self) -> Option<u64> {
        self.past.get("k").await.unwrap().map(|entry| entry.revision)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_repeat_of_a_write_of_a_key_finds_it_done() {
    let both = Both::start().await;
    let ((near, past), value, ttl) =
        ((&both.near, &both.past), || Bytes::from("mine"), Some(Duration::from_secs(60)));
    let nothing = || std::future::ready(Ok(0));
    let (first, _) = both.lost(near.create("k", value(), ttl), nothing()).await;
    assert_eq!(both.revision().await, Some(first), "created once");
    let (second, _) = both.lost(near.update("k", value(), first, ttl), nothing()).await;
    assert_eq!(both.revision().await, Some(second), "updated once");
    // What was written is told, also where another has written since.
    let (third, other) =
        both.lost(near.update("k", value(), second, ttl), past.put("k", Bytes::from("theirs"), None)).await;
    assert!(third > second && other > third, "{second} {third} {other}");
    assert_eq!(both.revision().await, Some(other), "theirs is left alone");
    let (fourth, _) = both.lost(near.put("k", value(), ttl), nothing()).await;
    assert_eq!(both.revision().await, Some(fourth), "put once");
    both.lost(near.delete_revision("k", fourth), nothing()).await;
    assert_eq!(both.revision().await, None);
    past.create("k", value(), None).await.unwrap();
    let ((), other) = both.lost(near.delete("k"), past.create("k", Bytes::from("theirs"), None)).await;
    assert_eq!(both.revision().await, Some(other), "deleted once");
}
