//! Time and chance as the services are handed them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidings_service::CallError;

/// The wall clock in Unix milliseconds, handed in so that tests own it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Bytes that nobody can guess, from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], CallError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        CallError::internal("No secret can be made at the moment.")
    })?;
    Ok(bytes)
}

/// The random bits of an id.
pub(crate) fn random_bits() -> Result<u128, CallError> {
    random().map(u128::from_le_bytes)
}

/// The time as an id takes it.
pub(crate) fn id_time(now_ms: i64) -> u64 {
    u64::try_from(now_ms).unwrap_or(0)
}
