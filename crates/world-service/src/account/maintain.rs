//! What the service does unasked: hears of revocations elsewhere, removes guests that left, forgets old sign-ins.

use std::time::Duration;

use prost::Message as _;
use tidings_protocol::proto::services::v1::SessionControl;
use tidings_service::{CallError, Subjects};
use tokio_util::sync::CancellationToken;

use super::{AccountService, millis};
use crate::failure::stored;
use crate::session;

/// How often guests and sign-ins are looked through.
const BEAT: Duration = Duration::from_secs(60);
/// Guests removed at a beat: more wait for the next, so that a crowd that left holds nobody up.
const GUESTS_A_BEAT: usize = 200;
/// Control messages that wait; when more come at once some are lost, and the time limit of what is kept holds.
const CONTROL_CAPACITY: usize = 1_024;
/// Sign-ins that ended are kept so long, for the refusal of a late token to be the right one.
const FAMILY_LINGER_MS: i64 = 24 * 60 * 60 * 1000;

impl AccountService {
    /// Runs until it is told to stop.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        let bus = self.inner.caller.bus();
        let topic = Subjects(bus.registry()).control("sessions")?;
        let pattern = bus.registry().pattern("ctl", &[Some("sessions")])?;
        debug_assert_eq!(pattern.as_str(), topic.as_str());
        let mut control = bus.subscribe(&pattern, CONTROL_CAPACITY).await?;
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                message = control.next() => match message {
                    None => return Ok(()),
                    Some(message) => self.heard(&message.payload),
                },
                _ = beat.tick() => if let Err(error) = self.tidy().await {
                    tracing::warn!(%error, "guests and sign-ins could not be tidied");
                },
            }
        }
    }

    fn heard(&self, payload: &[u8]) {
        match SessionControl::decode(payload) {
            Ok(control) if control.all => self.inner.standing.forget_all(),
            Ok(control) if !control.family.is_empty() => self.inner.standing.forget_family(&control.family),
            Ok(control) => self.inner.standing.forget_account(&control.account),
            Err(_) => metrics::counter!("tidings_account_control_unreadable_total").increment(1),
        }
    }

    /// Removes guests that left, and forgets sign-ins that ended.
    pub async fn tidy(&self) -> Result<(), CallError> {
        let now = self.now();
        let before = now - millis(self.config().guest_linger);
        for account in self.store().idle_guests(before, GUESTS_A_BEAT).await.map_err(stored)? {
            let mut here = false;
            for character in self.store().characters(account).await.map_err(stored)? {
                here |= session::is_in_world(&self.inner.sessions, character.id).await?;
            }
            if here {
                self.store().see_guest(account, now).await.map_err(stored)?;
            } else {
                self.store().remove_account(account).await.map_err(stored)?;
            }
        }
        self.store().prune_families(now - FAMILY_LINGER_MS).await.map_err(stored)?;
        Ok(())
    }
}
