//! The bus on NATS beside plain async-nats: the same real server, started for each round, the same bytes, the same number in
//! flight, the same two threads of the client.
//!
//! The reference speaks JetStream by plain requests, which is what async-nats itself does below its JetStream half: that half
//! is a feature of the client's crate, and would be built into whatever is built beside this program.

pub mod commit;
pub mod durable;
pub mod pool;
pub mod publish;
pub mod request;
pub mod subscribe;
pub mod work;

use anyhow::{Context, Result, ensure};
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use serde_json::{Value, json};
use tidings_bus::{Bus, Nats, NatsConfig};
use tidings_test_support::{NatsServer, newest_nats};

use super::{TIDINGS, registry, runtime};

/// The reference.
const PLAIN: &str = "async-nats";
/// Threads of the client, ours and the reference's.
const THREADS: usize = 2;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Plain,
    Ours,
}

impl Side {
    /// Both, each first as often as second.
    fn turns(round: usize) -> [Self; 2] {
        if round.is_multiple_of(2) { [Self::Plain, Self::Ours] } else { [Self::Ours, Self::Plain] }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => PLAIN,
            Self::Ours => TIDINGS,
        }
    }
}

fn server() -> Result<NatsServer> {
    NatsServer::start(newest_nats())
}

/// Runs one measurement, with threads that end with it.
fn measure<T>(one: impl Future<Output = Result<T>>) -> Result<T> {
    runtime(THREADS)?.block_on(one)
}

/// Ours, with everything on.
async fn ours(server: &NatsServer) -> Result<Bus> {
    ours_as(NatsConfig::default(), server).await
}

async fn ours_as(config: NatsConfig, server: &NatsServer) -> Result<Bus> {
    let registry = registry()?;
    let backend = Nats::connect(config.server(server.url()), registry.clone()).await?;
    Ok(Bus::new(backend, registry))
}

async fn plain(server: &NatsServer) -> Result<Client> {
    // What waits for a reader that is late: as much as ours keeps.
    let options = async_nats::ConnectOptions::new().subscription_capacity(65_536);
    options.connect(server.url()).await.context("connecting async-nats")
}

/// A call of JetStream's API.
async fn call(client: &Client, what: &str, question: &Value) -> Result<Value> {
    let subject = format!("$JS.API.{what}");
    let answer = client.request(subject, Bytes::from(question.to_string())).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["error"].is_null(), "{what}: {}", answer["error"]);
    Ok(answer)
}

/// A stream as anybody would make one.
async fn make_stream(client: &Client, name: &str, subject: &str) -> Result<()> {
    let config = json!({
        "name": name, "subjects": [subject], "retention": "limits", "storage": "file", "num_replicas": 1,
        "allow_atomic": true, "duplicate_window": 120_000_000_000_u64,
    });
    call(client, &format!("STREAM.CREATE.{name}"), &config).await.map(drop)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    pairs.iter().for_each(|(name, value)| map.insert(*name, *value));
    map
}

/// Whether JetStream has stored it.
fn check_stored(answer: &Message) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Stored {
        seq: Option<u64>,
        error: Option<Value>,
    }
    let stored: Stored = serde_json::from_slice(&answer.payload)?;
    ensure!(stored.seq.is_some() && stored.error.is_none(), "not stored: {:?}", stored.error);
    Ok(())
}
