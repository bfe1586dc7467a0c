//! Who asks, by the token that comes with the call and from nothing else; and the audit log, in storage.

use tidings_protocol::proto::services::v1::{Identity, RefreshRequest, StaffToken, VerifyRequest};
use tidings_service::CallError;
use tidings_service::dead_letters::{Gate, Note};
use tidings_storage::{AuditEntry, Store};

use crate::account::AccountService;
use crate::clock::Clock;
use crate::failure::stored;

/// Longest field of an audit entry, in bytes: a sentence of detail.
pub(super) const AUDIT_BYTES_MAX: usize = 2_000;

/// The accounts, and the audit log.
#[derive(Clone)]
pub(super) struct Staff {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) account: AccountService,
}

impl Gate for Staff {
    async fn identify(&self, token: StaffToken) -> Result<Identity, CallError> {
        let (account, StaffToken { access, refresh }) = (self.account.clone(), token);
        if access.is_empty() {
            return account.verify_refresh(RefreshRequest { refresh_token: refresh }).await;
        }
        account.verify(VerifyRequest { access_token: access }).await
    }

    async fn note(&self, note: Note) -> Result<(), CallError> {
        let entry = AuditEntry {
            time_ms: (self.clock)(),
            account: short(note.account),
            name: short(note.name),
            action: note.action.to_owned(),
            target: short(note.target),
            detail: short(note.detail),
        };
        self.store.audit(&entry).await.map_err(stored)
    }
}

fn short(mut text: String) -> String {
    if text.len() > AUDIT_BYTES_MAX {
        let end = (0..=AUDIT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
