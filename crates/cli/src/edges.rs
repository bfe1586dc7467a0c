//! All edges of a world, wherever they run: asked one by one, through the service that each of them is.

use std::time::Duration;

use futures_util::future::join_all;
use tidings_edge::service_name;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{Empty, Violation, ViolationsReply, ViolationsRequest};
use tidings_service::{CallError, Caller};
use tidings_world_service::session::EDGES_BUCKET;

/// How long an edge may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether edges have gone.
const GONE_BEAT: Duration = Duration::from_millis(50);
/// Violations asked of each edge: as many as are shown of all of them.
const VIOLATIONS_EACH: u32 = 200;

/// What the edges have seen.
pub struct Seen {
    /// The newest first, each with its edge.
    pub violations: Vec<(String, Violation)>,
    /// Edges that did not answer.
    pub silent: Vec<String>,
}

/// Those with a lease.
async fn all(caller: &Caller) -> Result<Vec<String>, CallError> {
    Ok(caller.bus().kv(EDGES_BUCKET)?.keys().await?)
}

/// Asks each edge for its violations.
pub async fn violations(caller: &Caller) -> Result<Seen, CallError> {
    let request = ViolationsRequest { most: VIOLATIONS_EACH };
    let asked = all(caller).await?.into_iter().map(|edge| async {
        let service = service_name(&edge);
        let answer = caller.call::<_, ViolationsReply>(&service, "violations", &request, ANSWER_WAIT).await;
        (edge, answer)
    });
    let mut seen = Seen { violations: Vec::new(), silent: Vec::new() };
    for (edge, answer) in join_all(asked).await {
        match answer {
            Ok(reply) => seen.violations.extend(reply.violations.into_iter().map(|one| (edge.clone(), one))),
            Err(_) => seen.silent.push(edge),
        }
    }
    seen.violations.sort_by_key(|(_, one)| std::cmp::Reverse(one.at_ms));
    Ok(seen)
}

/// Asks every edge but this process's own to send its people away and end, and waits until they have, or the deadline
/// has passed.
pub async fn dismiss(caller: &Caller, own: &str, deadline: Duration) {
    let gone = async {
        let edges = all(caller).await?.into_iter().filter(|edge| edge != own);
        let asked = edges.map(|edge| async {
            let told = caller.call::<_, Empty>(&service_name(&edge), "stop", &Empty {}, ANSWER_WAIT).await;
            told.map(|_| edge)
        });
        let going: Vec<String> = join_all(asked).await.into_iter().filter_map(Result::ok).collect();
        while all(caller).await?.iter().any(|edge| going.contains(edge)) {
            tokio::time::sleep(GONE_BEAT).await;
        }
        Ok::<_, CallError>(())
    };
    let late = || CallError::new(ErrorCode::DeadlineExceeded, "not all of them went in time");
    if let Err(error) = tokio::time::timeout(deadline, gone).await.unwrap_or_else(|_| Err(late())) {
        tracing::warn!(%error, "the world goes down, and edges may stay");
    }
}
