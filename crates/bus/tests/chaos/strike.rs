//! Makes a fault happen to a cluster, and ends it; and waits until the cluster has got over it: another fault before that
//! would be two at once, of which three servers are not meant to survive every one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};
use tidings_bus::Nats;
use tidings_test_support::{NatsCluster, Wire};

use crate::plan::{Fault, SERVERS, Step};

/// How long a server that was told to go may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(40);
/// How long the cluster may take to have all replicas again.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// What comes later, where everything does.
const LATE: Duration = Duration::from_millis(60);

/// Makes it happen, lets it last, and ends it. Answers which server it was.
pub async fn strike(cluster: &mut NatsCluster, nats: &Nats, step: &Step) -> Result<usize> {
    let leader = leader(cluster, nats).await?;
    let node = if step.fault.is_of_leader() {
        leader
    } else if matches!(step.fault, Fault::StalledSockets | Fault::HalfClosed | Fault::CutSockets) {
        // Where nobody is connected nothing would happen.
        cluster.busiest(step.node)
    } else if step.node == leader
        && matches!(step.fault, Fault::KillNode | Fault::FreezeNode | Fault::PartNode)
    {
        (step.node + 1) % SERVERS
    } else {
        step.node
    };
    begin(cluster, step.fault, node).await?;
    tokio::time::sleep(step.hold).await;
    end(cluster, step.fault, node).await?;
    Ok(node)
}

async fn leader(cluster: &NatsCluster, nats: &Nats) -> Result<usize> {
    let begun = Instant::now();
    loop {
        if let Ok(Some(name)) = nats.leader().await {
            return cluster.place_of(&name);
        }
        if begun.elapsed() > SETTLED_WITHIN {
            bail!("nobody leads the logs");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn begin(cluster: &mut NatsCluster, fault: Fault, node: usize) -> Result<()> {
    match fault {
        Fault::KillNode | Fault::KillLeader | Fault::Wiped => cluster.servers[node].kill(),
        Fault::AllStopped => cluster.servers.iter_mut().try_for_each(|server| server.kill()),
        Fault::FreezeNode | Fault::FreezeLeader => cluster.servers[node].freeze(),
        Fault::LameDuck => {
            cluster.servers[node].lame_duck()?;
            ended(cluster, node).await
        }
        Fault::PartNode | Fault::PartLeader => {
            cluster.set_routes(node, Wire::Cut);
            Ok(())
        }
        Fault::StalledSockets => door(cluster, node, Wire::Stalled),
        Fault::HalfClosed => door(cluster, node, Wire::HalfClosed),
        Fault::CutSockets => door(cluster, node, Wire::Cut),
        Fault::Late => (0..SERVERS).try_for_each(|one| door(cluster, one, Wire::Late(LATE))),
        Fault::Full => set_full(cluster, true).await,
    }
}

async fn end(cluster: &mut NatsCluster, fault: Fault, node: usize) -> Result<()> {
    match fault {
        Fault::KillNode | Fault::KillLeader | Fault::LameDuck => cluster.servers[node].restart(),
        Fault::Wiped => {
            cluster.servers[node].wipe()?;
            cluster.servers[node].restart()
        }
        Fault::AllStopped => cluster.servers.iter_mut().try_for_each(|server| server.restart()),
        Fault::FreezeNode | Fault::FreezeLeader => cluster.servers[node].thaw(),
        Fault::PartNode | Fault::PartLeader => {
            cluster.set_routes(node, Wire::Through);
            Ok(())
        }
        Fault::StalledSockets | Fault::HalfClosed | Fault::CutSockets => door(cluster, node, Wire::Through),
        Fault::Late => (0..SERVERS).try_for_each(|one| door(cluster, one, Wire::Through)),
        Fault::Full => set_full(cluster, false).await,
    }
}

fn door(cluster: &NatsCluster, node: usize, wire: Wire) -> Result<()> {
    cluster.set_door(node, wire);
    Ok(())
}

async fn ended(cluster: &mut NatsCluster, node: usize) -> Result<()> {
    let begun = Instant::now();
    while !cluster.servers[node].has_ended()? {
        if begun.elapsed() > ENDED_WITHIN {
            bail!("the server does not end: {}", cluster.servers[node].log());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Lets the stream of logs have the bytes that it holds, or as many as there is room for.
async fn set_full(cluster: &NatsCluster, full: bool) -> Result<()> {
    const STREAM: &str = "w_EVENTS";
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let client = options.connect(cluster.urls()).await.context("changing a stream")?;
    let ask = async |verb: &str, question: &Value| -> Result<Value> {
        let asked = client.request(format!("$JS.API.STREAM.{verb}.{STREAM}"), question.to_string().into());
        let answer: Value = serde_json::from_slice(&asked.await?.payload)?;
        ensure!(answer["error"].is_null(), "{verb}: {answer}");
        Ok(answer)
    };
    let begun = Instant::now();
    loop {
        let changed = async {
            let mut info = ask("INFO", &json!({})).await?;
            let held = info["state"]["bytes"].clone();
            info["config"]["max_bytes"] = if full { held } else { (-1).into() };
            ask("UPDATE", &info["config"]).await
        };
        match changed.await {
            Ok(_) => return Ok(()),
            Err(error) if begun.elapsed() > SETTLED_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Waits until every stream has a leader and all its replicas.
pub async fn settled(cluster: &NatsCluster) -> Result<Duration> {
    let begun = Instant::now();
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let client = options.connect(cluster.urls()).await.context("looking at the cluster")?;
    loop {
        let asked = client.request("$JS.API.STREAM.LIST", Bytes::new());
        let answer = tokio::time::timeout(Duration::from_secs(2), asked).await;
        let missing = match answer {
            Ok(Ok(answer)) => missing(&serde_json::from_slice(&answer.payload)?),
            outcome => Some(format!("{outcome:?}")),
        };
        let Some(missing) = missing else { return Ok(begun.elapsed()) };
        if begun.elapsed() > SETTLED_WITHIN {
            bail!("the cluster is not whole: {missing}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What a cluster's streams lack.
fn missing(told: &Value) -> Option<String> {
    let streams = told["streams"].as_array()?;
    if streams.is_empty() || told["missing"].as_array().is_some_and(|missing| !missing.is_empty()) {
        return Some(format!("{} streams told, missing {}", streams.len(), told["missing"]));
    }
    let whole = |cluster: &Value| {
        let replicas = cluster["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
        let current = |one: &Value| one["current"] == true && one["offline"] != true;
        cluster["leader"].is_string() && replicas.len() + 1 == SERVERS && replicas.iter().all(current)
    };
    let broken = streams.iter().find(|stream| !whole(&stream["cluster"]))?;
    Some(format!("{} is {}", broken["config"]["name"], broken["cluster"]))
}
