//! Ends of sessions: lost, left, revoked.

use tidings_protocol::proto::services::v1::{
    Empty, RevokeReply, RevokeRequest, SessionControl, SessionRecord, SessionRequest,
};
use tidings_protocol::{AccountId, CharacterId, CloseCode, ErrorCode};
use tidings_service::CallError;

use super::SessionService;
use super::bucket::Change;
use crate::failure::{id, stored};

impl SessionService {
    /// The socket is gone: the session waits for its character to come back. Of a session that went on by a later
    /// socket, or ended, it is refused, and nothing changes: nobody else may be told that it is lost.
    pub async fn lost(self, request: SessionRequest) -> Result<Empty, CallError> {
        let now = self.now();
        let lost = self.inner.records.change(&request.character, |before| {
            let ours = before.filter(|record| is_of(record, &request));
            Ok(match ours.ok_or_else(went_on)? {
                before if before.lost_ms != 0 && !before.lapsed => (Change::Keep, None),
                before => {
                    let record = SessionRecord { lost_ms: now, lapsed: false, ..before };
                    (Change::Put(Box::new(record.clone()), None), Some(record))
                }
            })
        });
        if let Some(record) = lost.await? {
            let mut index = self.inner.index.lock();
            index.put(&record);
            // The edge itself tells the zone.
            index.tell(&record.session);
        }
        Ok(Empty {})
    }

    /// The character left the world. After a grace it may come back for what it missed, within the retention;
    /// after it left on purpose the session is over.
    pub async fn close(self, request: SessionRequest) -> Result<Empty, CallError> {
        let (now, retention) = (self.now(), self.config().retention);
        let closed = self.inner.records.change(&request.character, |before| {
            let Some(before) = before.filter(|record| is_of(record, &request)) else {
                return Ok((Change::Keep, None));
            };
            let gone = request.gone || before.lost_ms != 0;
            let record = SessionRecord { closed_ms: now, ..before };
            if gone && !record.revoked {
                return Ok((Change::Put(Box::new(record.clone()), Some(retention)), Some((record, true))));
            }
            Ok((Change::Delete, Some((record, false))))
        });
        let Some((record, stays)) = closed.await? else { return Ok(Empty {}) };
        {
            let mut index = self.inner.index.lock();
            if stays {
                index.put(&record);
            } else {
                index.remove(&record.character);
            }
        }
        metrics::counter!("tidings_session_closed_total").increment(1);
        if let Ok(account) = record.account.parse() {
            self.inner.store.see_guest(account, now).await.map_err(stored)?;
        }
        Ok(Empty {})
    }

    /// Revokes a session, those of an account or of a sign-in, or all; sign-ins with them, before anything else.
    pub async fn revoke(self, request: RevokeRequest) -> Result<RevokeReply, CallError> {
        let (store, now) = (&self.inner.store, self.now());
        let code = match request.code {
            0 => u32::from(CloseCode::Revoked.code()),
            code => code,
        };
        let reason = match request.reason.as_str() {
            "" => CloseCode::Revoked.reason().to_owned(),
            reason => reason.to_owned(),
        };
        let keys = if request.all {
            store.revoke_all_families(now).await.map_err(stored)?;
            self.inner.records.kv().keys().await?
        } else if !request.account.is_empty() {
            let account: AccountId = id(&request.account, "an account")?;
            store.revoke_families(account, now).await.map_err(stored)?;
            self.characters_of(account).await?
        } else if !request.family.is_empty() {
            store.revoke_family(&request.family, now).await.map_err(stored)?;
            match store.family(&request.family).await.map_err(stored)? {
                Some(family) => self.characters_of(family.account).await?,
                None => Vec::new(),
            }
        } else if !request.session.is_empty() {
            self.character_of_session(&request.session).await?.into_iter().collect()
        } else {
            let what = "Which session? One of session, account, family, all.";
            return Err(CallError::new(ErrorCode::InvalidArgument, what));
        };
        // The sign-ins are over: what is opened from here on is of a later one.
        let made_ms = self.now();
        // Whoever keeps something of the account or the sign-in, and every socket, whatever this process knows of them.
        if request.session.is_empty() {
            let (account, family) = (request.account.clone(), request.family.clone());
            let (all, reason) = (request.all, reason.clone());
            let control =
                SessionControl { account, family, all, code, reason, made_ms, ..SessionControl::default() };
            self.control(control).await;
        }
        let mut revoked = 0;
        for key in keys {
            if let Some(record) = self.revoke_one(&key, &request, made_ms).await? {
                revoked += 1;
                self.act_on(&record, code, &reason).await;
            }
        }
        metrics::counter!("tidings_session_revoked_total").increment(u64::from(revoked));
        Ok(RevokeReply { revoked })
    }

    /// Marks a record that the request means; `None` where it means another, or it was revoked already.
    async fn revoke_one(
        &self,
        character: &str,
        request: &RevokeRequest,
        made_ms: i64,
    ) -> Result<Option<SessionRecord>, CallError> {
        let retention = self.config().retention;
        let revoked = self.inner.records.change(character, |before| {
            let meant = before.filter(|record| !record.revoked && is_meant(record, request, made_ms));
            Ok(match meant {
                None => (Change::Keep, None),
                Some(before) => {
                    let record = SessionRecord {
                        revoked: true,
                        resume_hash: bytes::Bytes::new(),
                        previous_resume_hash: bytes::Bytes::new(),
                        ..before
                    };
                    // One that left is of no more use; one in the world stays until it has left.
                    let keep = (record.closed_ms != 0).then_some(retention);
                    (Change::Put(Box::new(record.clone()), keep), Some(record))
                }
            })
        });
        let revoked = revoked.await?;
        if let Some(record) = &revoked {
            self.inner.index.lock().put(record);
        }
        Ok(revoked)
    }

    /// The open socket ends at once by its edge, which takes the character out; one without a socket is taken out
    /// from here.
    async fn act_on(&self, record: &SessionRecord, code: u32, reason: &str) {
        self.control(SessionControl {
            session: record.session.clone(),
            code,
            reason: reason.to_owned(),
            ..SessionControl::default()
        })
        .await;
        if record.lost_ms != 0 && record.closed_ms == 0 {
            self.take_out(record, code, reason).await;
        }
    }

    /// Ends a session that must not have been opened.
    pub(super) async fn end_record(&self, character: &str, session: &str) -> Result<(), CallError> {
        let request = RevokeRequest { session: session.to_owned(), ..RevokeRequest::default() };
        self.revoke_one(character, &request, self.now()).await.map(drop)
    }

    /// Those that storage knows, and those with a session whose character was deleted.
    async fn characters_of(&self, account: AccountId) -> Result<Vec<String>, CallError> {
        let stored_ones = self.inner.store.characters(account).await.map_err(stored)?;
        let mut keys: Vec<String> = stored_ones.iter().map(|one| one.id.to_string()).collect();
        let account = account.to_string();
        let index = self.inner.index.lock();
        keys.extend(index.of_account(&account).map(|known| known.character.clone()));
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    async fn character_of_session(&self, session: &str) -> Result<Option<String>, CallError> {
        if let Some(known) = self.inner.index.lock().session(session) {
            return Ok(Some(known.character.clone()));
        }
        // Another process opened it a moment ago.
        for key in self.inner.records.kv().keys().await? {
            let found = self.inner.records.get(&key).await?;
            if found.is_some_and(|(record, _)| record.session == session) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// The character of a record, where it is still stored.
    pub(super) fn character_id(record: &SessionRecord) -> Option<CharacterId> {
        record.character.parse().ok()
    }
}

fn went_on() -> CallError {
    CallError::new(ErrorCode::FailedPrecondition, "The session went on by a later connection, or ended.")
}

/// Whether a record is the session and the socket that the request speaks of.
fn is_of(record: &SessionRecord, request: &SessionRequest) -> bool {
    let session = request.session.is_empty() || record.session == request.session;
    let generation = request.generation == 0 || record.generation == request.generation;
    session && generation && record.closed_ms == 0
}

/// Of an account, or of all, only what was opened until then: what is opened later is of a later sign-in.
fn is_meant(record: &SessionRecord, request: &RevokeRequest, made_ms: i64) -> bool {
    let family = record.identity.as_ref().map(|identity| identity.family.as_str());
    let of_account = !request.account.is_empty() && record.account == request.account;
    ((request.all || of_account) && record.opened_ms <= made_ms)
        || (!request.family.is_empty() && family == Some(request.family.as_str()))
        || (!request.session.is_empty() && record.session == request.session)
}
