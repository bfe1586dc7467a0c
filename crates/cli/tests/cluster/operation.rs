//! What operators see of processes: readiness with its reasons, figures, who went over limits anywhere.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::Value;
use tidings_client::Api;

use crate::harness::{Cluster, process};

async fn get(api: &Api, path: &str) -> Result<(u16, Value)> {
    let answer = api.send(Method::GET, path, &[], None).await?;
    Ok((answer.status, answer.body))
}

/// Waits until the process is ready or not, and gives what it says.
async fn ready(api: &Api, wanted: bool) -> Result<Value> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let (status, body) = get(api, "/ready").await?;
        if (status == 200) == wanted {
            return Ok(body);
        }
        ensure!(Instant::now() < until, "{body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn each_process_says_what_it_is_and_why_it_is_not_ready() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let (keeper, edge) = (cluster.world.api(), cluster.edges[0].api());
    for api in [&keeper, &edge] {
        assert_eq!(get(api, "/health").await?.0, 200);
        assert_eq!(ready(api, true).await?["dependencies"]["bus"]["ready"], true);
    }
    for path in ["/", "/ws", "/api/v1/characters"] {
        assert_eq!(get(&keeper, path).await?.0, 404, "{path}: no people are served there");
    }
    assert_eq!(get(&edge, "/").await?.0, 200);
    assert!(!cluster.edges[0].data().exists(), "an edge has no storage");

    cluster.kill()?;
    let body = ready(&edge, false).await?;
    assert_eq!(body["dependencies"]["bus"]["ready"], true);
    let reason = body["dependencies"]["sessions"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("the service 'session'"), "{body}");
    cluster.restart()?;
    ready(&edge, true).await?;

    cluster.nats.kill()?;
    let body = ready(&edge, false).await?;
    let reason = body["dependencies"]["bus"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("NATS at nats://127.0.0.1:") && reason.contains("reconnecting"), "{body}");
    Ok(())
}

#[tokio::test]
async fn violations_are_listed_of_every_edge() -> Result<()> {
    let nats = tidings_test_support::NatsServer::start(tidings_test_support::newest_nats())?;
    let start = |roles| process(&nats, roles).set("limits.sign_ins_per_minute_per_address", 1).start();
    let (keeper, edges) = (start("zone,services")?, [start("edge")?, start("edge")?]);
    for edge in &edges {
        for _ in 0..3 {
            assert!(edge.api().sign_in("nobody-here", "wrong horse").await.is_err());
        }
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidings"));
    let output = command.args(["violations", "--json", "--data"]).arg(keeper.data()).output()?;
    ensure!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let list = told["violations"].as_array().cloned().unwrap_or_default();
    assert_eq!((list.len(), &told["silent"]), (2, &serde_json::json!([])), "{told}");
    assert_ne!(list[0]["edge"], list[1]["edge"]);
    assert!(list.iter().all(|one| one["limit"] == "sign_ins" && one["count"] == 2), "{told}");
    Ok(())
}
