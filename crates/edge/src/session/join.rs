//! From `hello` to the first event: identity, session, the character's zone, mutes, what was missed, then live.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tidings_protocol::frames::{NamedId, Welcome};
use tidings_protocol::proto::services::v1::OpenSession;
use tidings_protocol::proto::world::v1::{
    Enter, Entered, Link, MuteList, StateQuery, StateView, ZoneRequest, link, zone_reply, zone_request,
};
use tidings_protocol::{AccountId, Audience, CharacterId, CloseCode, ErrorCode, Position, SessionId, ZoneId};
use tidings_service::CallError;
use tokio::sync::SemaphorePermit;

use super::identity::{self, Refused};
use super::resume::{self, Gathered, Plan};
use super::{CALL_DEADLINE, Hello, JOIN_DEADLINE, frames, mutes, retry};
use crate::fanout::AudienceInfo;
use crate::shard::{At, Bye, End, Ended, MuteSet, Replay, Session, Shard, UNKNOWN_MAX};
use crate::shared::Shared;

/// How long a client may take to read one part of what it missed, before it is a slow reader.
const REPLAY_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Answers a `hello`.
pub async fn join(shard: Rc<Shard>, at: At, hello: Box<Hello>) {
    let Ok(permit) = shard.joins.acquire().await else { return };
    let started = Instant::now();
    let joining = Joining { shard: &shard, at, deadline: started + JOIN_DEADLINE };
    let outcome = Box::pin(joining.run(&hello, permit)).await;
    match outcome {
        Ok(()) => metrics::histogram!("tidings_edge_join_seconds").record(started.elapsed().as_secs_f64()),
        Err(refused) => {
            metrics::counter!("tidings_edge_joins_refused_total").increment(1);
            let mut inner = shard.inner.borrow_mut();
            if let Some(error) = &refused.error {
                inner.tell(at, None, error.code, &error.message, None);
            }
            inner.end(at, End::Lost("refused"), Some(refused.bye));
        }
    }
    shard.settle();
}

struct Joining<'a> {
    shard: &'a Rc<Shard>,
    at: At,
    deadline: Instant,
}

/// The mutes of the account of one who joins, in use.
struct Muting<'a> {
    shard: &'a Rc<Shard>,
    at: At,
    account: u128,
    set: Rc<RefCell<MuteSet>>,
    /// What was their last change when it began.
    changes: u64,
    /// They are the session's now.
    kept: bool,
}

impl<'a> Muting<'a> {
    fn new(shard: &'a Rc<Shard>, at: At, account: AccountId) -> Self {
        let account = account.as_u128();
        let (set, changes) = shard.inner.borrow_mut().use_mutes(account, at.key);
        Self { shard, at, account, set, changes, kept: false }
    }

    /// The zone has looked them up since.
    fn loaded(&self, list: Option<&MuteList>) {
        if let Some(list) = list {
            self.shard.inner.borrow_mut().mutes_loaded(self.account, list, self.changes);
        }
    }
}

impl Drop for Muting<'_> {
    fn drop(&mut self) {
        if !self.kept
            && let Ok(mut inner) = self.shard.inner.try_borrow_mut()
        {
            inner.release_mutes(self.account, self.at.key);
        }
    }
}

/// A session that was opened and is not its connection's yet. Where it does not become that, whatever the reason,
/// others are told how it ended.
struct Opening<'a> {
    shard: &'a Rc<Shard>,
    ended: Option<Ended>,
}

impl<'a> Opening<'a> {
    fn new(shard: &'a Rc<Shard>, who: &Who, generation: u64) -> Self {
        shard.shared.sessions.add(who.session, generation);
        let ended = Ended {
            end: End::Lost("not_joined"),
            session: who.session,
            generation,
            character: who.character,
            zone: who.zone.clone(),
            bye: None,
        };
        Self { shard, ended: Some(ended) }
    }

    fn ends_by(&mut self, end: End) {
        self.ended.iter_mut().for_each(|ended| ended.end = end);
    }

    /// From here on it ends with its connection.
    fn attached(mut self) {
        self.ended = None;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take()
            && let Ok(mut inner) = self.shard.inner.try_borrow_mut()
        {
            inner.shared.sessions.remove(ended.session, ended.generation);
            inner.ended(ended);
        }
    }
}

/// Ids of a session as they are used here.
struct Who {
    session: SessionId,
    character: CharacterId,
    account: AccountId,
    zone: ZoneId,
    /// The character's own log.
    own: Arc<AudienceInfo>,
}

fn malformed() -> Refused {
    Refused::of(CallError::internal("The session has no valid form."))
}

impl Joining<'_> {
    /// The permit is for asking others; the replay that follows goes at the client's pace.
    async fn run(self, hello: &Hello, permit: SemaphorePermit<'_>) -> Result<(), Refused> {
        let shared = &self.shard.shared;
        let info = match self.shard.inner.borrow_mut().conn(self.at) {
            Some(conn) => (*conn.info).clone(),
            None => return Ok(()),
        };
        let mut place = self.shard.waves.join().await;
        let since = self.shard.inner.borrow().controls_heard;
        let opened = identity::open(shared, &info, hello, self.deadline).await?;
        let who = who(shared, &opened).ok_or_else(malformed)?;
        let mut opening = Opening::new(self.shard, &who, opened.generation);
        place.go_on().await;
        // Before the zone looks them up: what changes from now on is not missed.
        let mut mutes = Muting::new(self.shard, self.at, who.account);
        let entered = self.enter(&opened, &who, hello.resume.is_some()).await.map_err(Refused::of)?;
        place.arrive().await;
        let plan = Plan::make(shared, hello.resume.as_ref(), &entered, &who.own).await?;
        mutes.loaded(entered.mutes.as_ref());
        if let Err((end, bye)) = self.attach(&opened, &who, &entered, &plan, &mut mutes, since) {
            opening.ends_by(end);
            return Err(Refused { error: None, bye });
        }
        opening.attached();
        let gathered = Gathered::gather(self.shard, self.at, plan, &entered, &who.own).await?;
        self.shard.inner.borrow_mut().note_missed_mutes(who.account.as_u128(), &gathered.events);
        self.know_mutes(&who).await?;
        let view = match entered.room {
            Some(view) => view,
            None => self.room(&who).await?,
        };
        drop(permit);
        self.go_live(opened, &who, gathered, &view).await;
        Ok(())
    }

    /// Enters the world, or comes back to it. The zone that is asked may know that the character is elsewhere.
    async fn enter(&self, opened: &OpenSession, who: &Who, resumes: bool) -> Result<Entered, CallError> {
        let (session, generation) = (opened.session.clone(), opened.generation);
        if resumes {
            let link = Link {
                session: session.clone(),
                character: who.character.to_string(),
                kind: link::Kind::Back.into(),
                grace_ms: 0,
                generation,
            };
            let back = ZoneRequest { ask: Some(zone_request::Ask::Link(link)) };
            // Asked once: a zone that has the character no more says so at once, and `Enter` finds it.
            let caller = &self.shard.shared.caller;
            match caller.zone(&who.zone, &back, CALL_DEADLINE).await {
                Ok(_) => {}
                Err(error) if error.code == ErrorCode::NotFound || error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        // What one missed is gone through before it looks around: then the room is asked for.
        let locale = &self.shard.shared.config.locale;
        let view_locale = if resumes { String::new() } else { locale.clone() };
        let enter = Enter { session, character: opened.character.clone(), generation, view_locale };
        let request = ZoneRequest { ask: Some(zone_request::Ask::Enter(enter)) };
        match self.ask(&who.zone, request).await? {
            zone_reply::Answer::Entered(entered) => Ok(entered),
            _ => Err(CallError::internal("The zone answers with something else.")),
        }
    }

    async fn ask(&self, zone: &ZoneId, request: ZoneRequest) -> Result<zone_reply::Answer, CallError> {
        let caller = &self.shard.shared.caller;
        retry::until(self.deadline, CALL_DEADLINE, |left| caller.zone(zone, &request, left)).await
    }

    fn attach(
        &self,
        opened: &OpenSession,
        who: &Who,
        entered: &Entered,
        plan: &Plan,
        mutes: &mut Muting<'_>,
        since: u64,
    ) -> Result<(), (End, Bye)> {
        let replay = Replay { after: plan.after, virtual_set: plan.start(&who.own), ..Replay::default() };
        let muting = !mutes.set.borrow().is_empty();
        let session = Session {
            id: who.session,
            character: who.character,
            account: who.account,
            generation: opened.generation,
            zone: entered.zone.parse().unwrap_or_else(|_| who.zone.clone()),
            audiences: Vec::with_capacity(plan.open.len()),
            mutes: Rc::clone(&mutes.set),
            muting,
            replay: Some(Box::new(replay)),
            gate: None,
            hints: None,
            inflight: None,
            queue: Default::default(),
            state_seq: 0,
            views: 0,
            refused: (0, 0),
        };
        self.shard.inner.borrow_mut().attach(self.at, Box::new(session), since)?;
        // From here on they are the session's, and end with it.
        mutes.kept = true;
        Ok(())
    }

    /// Nothing is delivered before the account's mutes are known. Nothing of others is held back by it either, so
    /// it may take what the whole join may: a crowd that comes back at once has its lists loaded in turn.
    async fn know_mutes(&self, who: &Who) -> Result<(), Refused> {
        let known = mutes::known(self.shard, who.account.as_u128(), self.deadline).await;
        known.then_some(()).ok_or_else(|| Refused::of(CallError::unavailable("Your mutes are not known.")))
    }

    /// The view of the room where the answer of the zone brought none.
    async fn room(&self, who: &Who) -> Result<StateView, Refused> {
        let zone = self.shard.inner.borrow_mut().session(self.at).map(|session| session.zone.clone());
        let zone = zone.unwrap_or_else(|| who.zone.clone());
        let locale = self.shard.shared.config.locale.clone();
        let query = StateQuery {
            character: who.character.to_string(),
            what: "room".to_owned(),
            page: String::new(),
            locale,
        };
        let request = ZoneRequest { ask: Some(zone_request::Ask::State(query)) };
        match self.ask(&zone, request).await.map_err(Refused::of)? {
            zone_reply::Answer::State(view) => Ok(view),
            _ => Err(Refused::of(CallError::internal("The zone answers with something else."))),
        }
    }

    /// Welcome, state, what was missed, and from then on what happens.
    async fn go_live(&self, opened: OpenSession, who: &Who, gathered: Gathered, view: &StateView) {
        let shared = &self.shard.shared;
        let Gathered { mut events, plan } = gathered;
        let welcome = self.welcome(opened, who, &plan);
        let state = frames::state(&shared.encoder, "room", &view.body, plan.after);
        self.shard.inner.borrow_mut().welcome(self.at, [welcome, state], plan.after, view.seq);
        loop {
            // They may have changed while the client was reading: what comes is judged by the newest.
            if !mutes::known(self.shard, who.account.as_u128(), Instant::now() + UNKNOWN_MAX).await {
                let bye = Bye::of(CloseCode::Unavailable);
                self.shard.inner.borrow_mut().end(self.at, End::Lost("mutes_unknown"), Some(bye));
                return self.shard.settle();
            }
            let waits = self.shard.inner.borrow_mut().replay_some(self.at, &mut events, plan.entered);
            self.shard.settle();
            if let Some(drained) = waits {
                match tokio::time::timeout(REPLAY_WAIT, drained).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return,
                    Err(_) => {
                        let bye = Bye::of(CloseCode::SlowReader);
                        self.shard.inner.borrow_mut().end(self.at, End::Lost("slow"), Some(bye));
                        self.shard.settle();
                        return;
                    }
                }
            }
            let Some(held) = self.shard.inner.borrow_mut().live_or_held(self.at) else { return };
            let after = held.front().map_or(0, |event| event.seq.saturating_sub(1));
            events = held;
            if resume::complete(self.shard, self.at, &mut events, Vec::new(), after).await.is_err() {
                let bye = Bye::of(CloseCode::Unavailable);
                self.shard.inner.borrow_mut().end(self.at, End::Lost("gap"), Some(bye));
                return;
            }
        }
    }

    fn welcome(&self, opened: OpenSession, who: &Who, plan: &Plan) -> bytes::Bytes {
        let shared = &self.shard.shared;
        frames::welcome(Welcome {
            session: who.session,
            resume: opened.resume_secret,
            character: NamedId {
                id: who.character,
                name: opened.character.map(|c| c.name).unwrap_or_default(),
            },
            recovered: plan.recovered,
            reason: plan.reason.map(str::to_owned),
            position: Position::new(&*shared.encoder.epoch, plan.after),
            heartbeat_ms: u64::try_from(shared.config.session.heartbeat.as_millis()).unwrap_or(25_000),
            limits: shared.limits_shown.clone(),
        })
    }
}

fn who(shared: &Shared, opened: &OpenSession) -> Option<Who> {
    let wire = opened.character.as_ref()?;
    let character = wire.id.parse().ok()?;
    Some(Who {
        session: opened.session.parse().ok()?,
        character,
        account: wire.account.parse().ok()?,
        zone: wire.zone.parse().ok()?,
        own: shared.encoder.interner.intern(&Audience::Player(character)),
    })
}
