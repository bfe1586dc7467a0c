//! Whether a sign-in still stands, and what its account may do now: read from storage, kept for a moment.
//!
//! A revocation in this process forgets what was kept at once; one in another process by its control message; and
//! nothing is kept longer than [`KEPT_MS`], so that a lost message costs no more than the check that sessions have
//! anyway.

use std::collections::HashMap;

use parking_lot::Mutex;
use tidings_protocol::{AccountId, ErrorCode};
use tidings_service::CallError;
use tidings_storage::{Account, Role, Store};

use crate::failure::stored;

/// How long an answer is kept: half of the 60 s within which a revocation must be seen in any case.
pub const KEPT_MS: i64 = 30_000;
/// Sign-ins kept: as many as one process serves people; beyond it all are read again.
pub const KEPT_MAX: usize = 20_000;

#[derive(Clone, Copy)]
struct Kept {
    account: AccountId,
    role: Role,
    at_ms: i64,
}

/// The sign-ins that were found to stand, by family.
#[derive(Default)]
pub(crate) struct Standing {
    kept: Mutex<HashMap<String, Kept>>,
}

/// The refusal of a banned account, with its reason.
pub(crate) fn refuse_banned(account: &Account, now_ms: i64) -> Result<(), CallError> {
    match account.banned(now_ms) {
        None => Ok(()),
        Some(ban) if ban.reason.is_empty() => {
            Err(CallError::new(ErrorCode::PermissionDenied, "This account is banned."))
        }
        Some(ban) => Err(CallError::new(
            ErrorCode::PermissionDenied,
            format!("This account is banned: {}", ban.reason),
        )),
    }
}

impl Standing {
    /// The role of the account of a sign-in that stands. Fails closed.
    pub(crate) async fn role(
        &self,
        store: &Store,
        account: AccountId,
        family: &str,
        now_ms: i64,
    ) -> Result<Role, CallError> {
        if let Some(kept) = self.kept.lock().get(family)
            && kept.account == account
            && (0..KEPT_MS).contains(&(now_ms - kept.at_ms))
        {
            return Ok(kept.role);
        }
        let role = read(store, account, family, now_ms).await?;
        let mut all = self.kept.lock();
        if all.len() >= KEPT_MAX {
            all.clear();
        }
        all.insert(family.to_owned(), Kept { account, role, at_ms: now_ms });
        Ok(role)
    }

    /// Forgets what was kept of an account.
    pub(crate) fn forget_account(&self, account: &str) {
        self.kept.lock().retain(|_, kept| kept.account.to_string() != account);
    }

    /// Forgets what was kept of a sign-in.
    pub(crate) fn forget_family(&self, family: &str) {
        self.kept.lock().remove(family);
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        self.kept.lock().clear();
    }
}

async fn read(store: &Store, account: AccountId, family: &str, now_ms: i64) -> Result<Role, CallError> {
    let ended =
        || CallError::new(ErrorCode::Unauthenticated, "This sign-in has ended. Please sign in again.");
    let sign_in = store.sign_in(family).await.map_err(stored)?.ok_or_else(ended)?;
    if sign_in.account.id != account || !sign_in.family.is_live(now_ms) {
        return Err(ended());
    }
    refuse_banned(&sign_in.account, now_ms)?;
    Ok(sign_in.account.role)
}
