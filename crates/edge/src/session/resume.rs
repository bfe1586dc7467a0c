//! Where a session goes on: from its position, exactly, or from its entering, with the reason why not.
//!
//! The character's own log after the position holds every change of its audiences; the first one's `before` is the
//! set at the position. Every audience that was open at some time since is read, merged in the order of the stream,
//! and gone through by the same rules as live events.

use std::rc::Rc;
use std::sync::Arc;

use tidings_protocol::CloseCode;
use tidings_protocol::frames::Resume;
use tidings_protocol::proto::world::v1::Entered;
use tidings_service::CallError;

use super::identity::Refused;
use crate::fanout::{AudienceInfo, Encoded, ReadError};
use crate::shard::{At, Bye, Hearing, Held, Shard};
use crate::shared::Shared;

/// Rounds of opening what the events themselves say was opened: a character that walks while it joins.
const ROUNDS_MAX: usize = 8;
/// Changes of audiences looked at: more than anyone walks within the retention.
const CHANGES_MAX: usize = 20_000;

/// Where a session goes on.
pub struct Plan {
    /// Everything after this sequence is told.
    pub after: u64,
    /// Whether that is everything missed.
    pub recovered: bool,
    /// Why not.
    pub reason: Option<&'static str>,
    /// The audiences at that place.
    pub set: Vec<Arc<AudienceInfo>>,
    /// Every audience to open.
    pub open: Vec<Arc<AudienceInfo>>,
    /// What was decided before this sequence belongs to connections before.
    pub entered: u64,
}

impl Plan {
    /// From its position, where that can be; else from its entering.
    pub async fn make(
        shared: &Shared,
        resume: Option<&Resume>,
        entered: &Entered,
        own: &Arc<AudienceInfo>,
    ) -> Result<Self, Refused> {
        let fresh = |reason| Self::fresh(shared, entered, own, reason);
        let Some(resume) = resume else { return Ok(fresh(None)) };
        let Some(position) = &resume.position else { return Ok(fresh(Some("no_position"))) };
        let after = position.seq;
        if position.epoch != shared.encoder.epoch || position.seq > entered.seq.max(shared.head()) {
            return Ok(fresh(Some("epoch")));
        }
        let changes = match shared.reader.read(std::slice::from_ref(own), after, u64::MAX, CHANGES_MAX).await
        {
            Ok(events) => events,
            Err(ReadError::TooOld) => return Ok(fresh(Some("too_old"))),
            Err(ReadError::Bus(error)) => return Err(Refused::of(CallError::from(error))),
        };
        let mut changes = changes.iter().filter_map(|event| event.change()).peekable();
        let now = shared.encoder.audiences(&entered.audiences);
        let set = changes.peek().map_or(&now, |first| &first.before).to_vec();
        let mut open = set.clone();
        open.extend(changes.flat_map(|change| change.after.iter().cloned()));
        open.extend(now.iter().cloned());
        open.push(Arc::clone(own));
        Ok(Self { after, recovered: true, reason: None, set, open: distinct(open), entered: entered.seq })
    }

    fn fresh(
        shared: &Shared,
        entered: &Entered,
        own: &Arc<AudienceInfo>,
        reason: Option<&'static str>,
    ) -> Self {
        let set = shared.encoder.audiences(&entered.audiences).to_vec();
        let mut open = set.clone();
        open.push(Arc::clone(own));
        let after = entered.seq.saturating_sub(1);
        Self { after, recovered: false, reason, set, open: distinct(open), entered: entered.seq }
    }

    /// How the audiences are heard at that place; its own log always is.
    pub fn start(&self, own: &Arc<AudienceInfo>) -> Vec<(Arc<AudienceInfo>, Hearing)> {
        let mut set = self.set.clone();
        set.push(Arc::clone(own));
        distinct(set).into_iter().map(|info| (info, Hearing::Heard)).collect()
    }
}

fn distinct(mut audiences: Vec<Arc<AudienceInfo>>) -> Vec<Arc<AudienceInfo>> {
    audiences.sort_unstable_by_key(|info| info.id);
    audiences.dedup_by_key(|info| info.id);
    audiences
}

/// What was missed, in order, and where it starts.
pub struct Gathered {
    /// The events after `plan.after`.
    pub events: Held,
    /// Where it starts.
    pub plan: Plan,
}

impl Gathered {
    /// Opens the audiences of a plan and gathers what is after its place. Where part of that is gone, the session
    /// starts from its entering.
    pub async fn gather(
        shard: &Rc<Shard>,
        at: At,
        plan: Plan,
        entered: &Entered,
        own: &Arc<AudienceInfo>,
    ) -> Result<Self, Refused> {
        let mut events = Held::new();
        match complete(shard, at, &mut events, plan.open.clone(), plan.after).await {
            Ok(()) => return Ok(Self { events, plan }),
            Err(ReadError::Bus(error)) => return Err(Refused::of(CallError::from(error))),
            Err(ReadError::TooOld) if plan.recovered => {}
            Err(ReadError::TooOld) => {
                return Err(Refused { error: None, bye: Bye::of(CloseCode::Unavailable) });
            }
        }
        let plan = Plan::fresh(&shard.shared, entered, own, Some("too_old"));
        shard.inner.borrow_mut().start_replay(at, plan.after, plan.start(own));
        let mut events = Held::new();
        match complete(shard, at, &mut events, plan.open.clone(), plan.after).await {
            Ok(()) => Ok(Self { events, plan }),
            Err(ReadError::Bus(error)) => Err(Refused::of(CallError::from(error))),
            Err(ReadError::TooOld) => Err(Refused { error: None, bye: Bye::of(CloseCode::Unavailable) }),
        }
    }
}

/// Opens audiences, and those that the events say were opened, until none is missing; the events of all of them
/// after a sequence are in `events` then, in order, each once.
pub async fn complete(
    shard: &Rc<Shard>,
    at: At,
    events: &mut Held,
    mut missing: Vec<Arc<AudienceInfo>>,
    after: u64,
) -> Result<(), ReadError> {
    let most = shard.shared.config.retention.messages.saturating_mul(4).max(1);
    for _ in 0..ROUNDS_MAX {
        missing.extend(opened_by(events));
        let mut missing_now = distinct(std::mem::take(&mut missing));
        missing_now.retain(|info| !shard.inner.borrow().is_member(at, info.id));
        if missing_now.is_empty() {
            break;
        }
        let Some(opened) = shard.open(at, missing_now, after).await else { return Err(ReadError::TooOld) };
        let gaps: Vec<_> = opened.gaps.iter().map(|(info, _)| Arc::clone(info)).collect();
        let through = opened.gaps.iter().map(|(_, through)| *through).max().unwrap_or(0);
        let read = shard.shared.reader.read(&gaps, after, through, most).await?;
        let held = shard.inner.borrow_mut().take_held(at).unwrap_or_default();
        let mut all: Vec<Arc<Encoded>> =
            events.drain(..).chain(read).chain(opened.events).chain(held).collect();
        all.sort_by_key(|event| event.seq);
        all.dedup_by_key(|event| event.seq);
        if all.len() > most {
            return Err(ReadError::TooOld);
        }
        events.extend(all);
    }
    Ok(())
}

fn opened_by(events: &Held) -> impl Iterator<Item = Arc<AudienceInfo>> + '_ {
    events.iter().filter_map(|event| event.change()).flat_map(|change| change.opened().cloned())
}
