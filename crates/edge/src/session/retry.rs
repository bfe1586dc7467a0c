//! One layer of retry for what the edge asks: within a deadline, with a growing pause, only where it can help.

use std::future::Future;
use std::time::{Duration, Instant};

use tidings_service::CallError;

/// First pause.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
/// Longest pause.
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// A pause between half and all of `most`, so that many who wait for the same do not come back at once.
fn jittered(most: Duration) -> Duration {
    let mut byte = [0u8; 1];
    let part = if getrandom::fill(&mut byte).is_ok() { f64::from(byte[0]) / 255.0 } else { 1.0 };
    most.mul_f64(0.5 + part / 2.0)
}

/// How long to wait after an error before trying again, where so many tries failed before.
pub fn pause(tries: u8, error: &CallError) -> Duration {
    metrics::counter!("tidings_edge_call_retries_total").increment(1);
    let grown = PAUSE_FIRST.saturating_mul(1 << tries.min(16));
    jittered(error.retry_after.unwrap_or(grown).min(PAUSE_MOST))
}

/// The pauses between attempts: each longer than the one before.
#[derive(Debug, Default)]
pub struct Pauses(u8);

impl Pauses {
    /// How long to wait after this error before trying again.
    pub fn after(&mut self, error: &CallError) -> Duration {
        let wait = pause(self.0, error);
        self.0 = self.0.saturating_add(1);
        wait
    }
}

/// Calls until there is an answer, an error that a retry does not help, or the deadline.
pub async fn until<T, F, Fut>(deadline: Instant, most: Duration, mut call: F) -> Result<T, CallError>
where
    F: FnMut(Duration) -> Fut,
    Fut: Future<Output = Result<T, CallError>>,
{
    let mut pauses = Pauses::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(left.min(most).max(Duration::from_millis(1))).await {
            Err(error) if error.is_retryable() => {
                let wait = pauses.after(&error);
                if Instant::now() + wait >= deadline {
                    return Err(error);
                }
                tokio::time::sleep(wait).await;
            }
            done => return done,
        }
    }
}
