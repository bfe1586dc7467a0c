//! What others ask of this edge alone: who went over its limits, and to go when the world does.

use std::sync::Arc;
use std::time::Duration;

use tidings_protocol::proto::services::v1::{Empty, Violation, ViolationsReply, ViolationsRequest};
use tidings_service::subjects::EDGE_SERVICE;
use tidings_service::{Server, ServerHandle};
use tokio_util::sync::CancellationToken;

use crate::limits;
use crate::shared::Shared;

/// Pause before serving again where that failed.
const AGAIN: Duration = Duration::from_millis(500);
/// Most violations of one answer.
const VIOLATIONS_MAX: usize = 1_000;

/// The service of the edge of this name.
pub fn name(edge: &str) -> String {
    format!("{EDGE_SERVICE}{edge}")
}

/// Serves until `cancel`; `stop` is cancelled when somebody asks the edge to go.
pub async fn serve(shared: Arc<Shared>, stop: CancellationToken, cancel: CancellationToken) {
    let starting = async {
        loop {
            match server(&shared, &stop).start().await {
                Ok(serving) => return serving,
                Err(error) => tracing::warn!(%error, "the service of this edge cannot be served"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let serving: Option<ServerHandle> = cancel.run_until_cancelled(starting).await;
    cancel.cancelled().await;
    drop(serving);
}

fn server(shared: &Arc<Shared>, stop: &CancellationToken) -> Server {
    let (limits, stop) = (Arc::clone(&shared.limits), stop.clone());
    Server::new(shared.bus.clone(), name(&shared.config.edge))
        .method("violations", move |_call, request: ViolationsRequest| {
            let most = usize::try_from(request.most).unwrap_or(usize::MAX).min(VIOLATIONS_MAX);
            let violations = limits.violations().into_iter().take(most).map(wire).collect();
            std::future::ready(Ok(ViolationsReply { violations }))
        })
        .method("stop", move |_call, _: Empty| {
            stop.cancel();
            std::future::ready(Ok(Empty {}))
        })
}

fn wire(one: limits::Violation) -> Violation {
    Violation {
        at_ms: one.at_ms,
        limit: one.limit.as_str().to_owned(),
        who: one.who,
        outcome: one.outcome.as_str().to_owned(),
        count: one.count,
    }
}
