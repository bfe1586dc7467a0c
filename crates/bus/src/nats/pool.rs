//! Which member of the pool a subject goes by, and how a member is repaired.
//!
//! An audience, which is a subject, stays with its member, so its messages keep their order. While a member connects anew its
//! audiences wait, as they do with a single connection. One that finds no server in a round gives up: what its client still
//! held is dropped, its audiences go by the next member, and it is made anew in the background. Then they come back, behind
//! everything that was sent meanwhile. A pool of one has nobody to hand them to, and its client never gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::backend::Outcome;

use crate::message::Headers;
use crate::nats::connection::{Connection, jitter, not_connected};
use crate::nats::headers;
use crate::nats::member::{Member, outbound};
use crate::resilience::{HealthReport, State};
use crate::subject::Subject;

/// An audience that is on its way to another member: who publishes waits.
const MOVING: usize = usize::MAX;
/// How long a member may take to have sent what it was given before an audience leaves it.
const BARRIER_WAIT: Duration = Duration::from_secs(2);
/// The longest pause before an audience whose carrier did not answer in that time is asked back again.
const COME_BACK_AGAIN: Duration = Duration::from_secs(1);

/// Who carries the audiences of each member.
pub(crate) struct Routes {
    by: Box<[AtomicUsize]>,
    moved: Notify,
}

impl Routes {
    /// Each its own.
    pub(crate) fn new(size: usize) -> Self {
        Self { by: (0..size).map(AtomicUsize::new).collect(), moved: Notify::new() }
    }

    /// The member that a subject of this hash is of.
    pub(crate) fn own(&self, hash: u64) -> usize {
        match self.by.len() {
            1 => 0,
            size => usize::try_from(hash % size as u64).unwrap_or(0),
        }
    }

    /// Who carries its subjects; waits while they are on their way to another.
    async fn carrier(&self, own: usize) -> usize {
        loop {
            let moved = self.moved.notified();
            match self.carrier_now(own) {
                Some(by) => return by,
                None => moved.await,
            }
        }
    }

    /// Who carries its subjects, unless they are on their way to another.
    #[inline]
    fn carrier_now(&self, own: usize) -> Option<usize> {
        Some(self.by[own].load(Ordering::Acquire)).filter(|by| *by != MOVING)
    }

    fn set(&self, own: usize, by: usize) {
        self.by[own].store(by, Ordering::Release);
        self.moved.notify_waiters();
    }
}

/// A member's audiences on their way: where `to` says when it is dropped, so that nobody waits for ever.
struct Moving<'a> {
    routes: &'a Routes,
    own: usize,
    to: usize,
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.routes.set(self.own, self.to);
    }
}

/// One connection of the pool, as it is shown.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Its place in the pool, from 0.
    pub number: usize,
    /// What it is.
    pub state: State,
    /// How it does.
    pub health: HealthReport,
    /// The server it is connected to.
    pub server: Option<String>,
    /// Messages it has sent.
    pub sent: u64,
    /// The member that carries its audiences: another one while it has no connection.
    pub carried_by: usize,
    /// Addresses that gave it no connection when it was made last, and why.
    pub troubles: Vec<(String, String)>,
}

impl Connection {
    /// Publishes on a subject, in its order. Refused where its member has no connection.
    #[inline]
    pub(crate) fn publish(&self, subject: &Subject, payload: Bytes, headers: Headers) -> Outcome<'_, ()> {
        let own = self.routes.own(subject.key());
        match self.routes.carrier_now(own) {
            Some(by) => self.publish_by(by, subject, payload, &headers),
            None => {
                let subject = subject.clone();
                Outcome::Later(Box::pin(async move {
                    let by = self.routes.carrier(own).await;
                    self.publish_by(by, &subject, payload, &headers).done().await
                }))
            }
        }
    }

    #[inline]
    fn publish_by(
        &self,
        by: usize,
        subject: &Subject,
        payload: Bytes,
        headers: &Headers,
    ) -> Outcome<'static, ()> {
        let member = &self.members[by];
        if member.is_up() {
            return match headers::to_nats_if_any(headers) {
                Ok(headers) => member.send(outbound(subject.wire(), headers, payload)),
                Err(error) => Outcome::Ready(Err(error)),
            };
        }
        let circuit = self.check_ended().and_then(|()| member.line.check_circuit());
        Outcome::Ready(circuit.and(Err(not_connected())))
    }

    /// The audiences that a member carries go by the next one that has a connection.
    pub(crate) fn leave(&self, gone: &Member) {
        let (after, before) = (&self.members[gone.number + 1..], &self.members[..gone.number]);
        let Some(next) = after.iter().chain(before).find(|member| member.is_up()) else { return };
        for (own, by) in self.routes.by.iter().enumerate() {
            if by.load(Ordering::Acquire) == gone.number {
                metrics::counter!("tidings_bus_pool_moves_total").increment(1);
                self.routes.set(own, next.number);
            }
        }
    }

    /// A member's audiences come back to it, once what was sent by another meanwhile has been.
    async fn come_back(&self, member: &Member) {
        while !self.came_back(member).await {
            tokio::time::sleep(jitter(COME_BACK_AGAIN)).await;
        }
    }

    /// Whether they are back. They stay with who carries them where that one may still hold something of theirs, which would
    /// come late.
    async fn came_back(&self, member: &Member) -> bool {
        let by = self.routes.by[member.number].swap(MOVING, Ordering::AcqRel);
        let mut moving = Moving { routes: &self.routes, own: member.number, to: by };
        if by != member.number
            && let Some(carrier) = self.members.get(by).filter(|carrier| carrier.client().is_some())
        {
            // What waits for room there goes behind the round trip.
            let whole = carrier.waiting() == 0 && carrier.round_trip(BARRIER_WAIT).await.is_some();
            if !whole && carrier.client().is_some() {
                return false;
            }
            metrics::counter!("tidings_bus_pool_moves_total").increment(1);
        }
        moving.to = member.number;
        true
    }

    /// Makes a member anew whenever its client has given up, until the bus ends.
    pub(crate) async fn keep(self: Arc<Self>, member: Arc<Member>) {
        let stop = self.stop.clone();
        let keeping = async {
            loop {
                member.line.given_up.notified().await;
                member.forget_client();
                self.leave(&member);
                self.repair(&member).await;
                self.come_back(&member).await;
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    async fn repair(&self, member: &Member) {
        let mut failed = 0;
        loop {
            failed += 1;
            tokio::time::sleep(member.line.attempt(failed)).await;
            match member.connect(&self.making).await {
                Ok(()) => {
                    tracing::info!(member = member.number, "a connection of the pool is repaired");
                    return;
                }
                Err(troubles) => troubles.iter().for_each(|trouble| member.tell(trouble)),
            }
            // Others may have come back since.
            self.leave(member);
        }
    }

    /// Its members, as they are shown.
    pub(crate) fn views(&self) -> Vec<MemberView> {
        let circuits = self.guard.breakers().not_closed();
        let view = |member: &Arc<Member>| MemberView {
            number: member.number,
            state: member.line.states.now(),
            health: member.health.lock().report(&self.making.config.bus.health, circuits),
            server: member
                .client()
                .filter(|_| member.is_up())
                .map(|client| client.server_info())
                .map(|info| format!("{}:{}", info.host, info.port)),
            sent: member.sent(),
            carried_by: match self.routes.by[member.number].load(Ordering::Acquire) {
                MOVING => member.number,
                by => by,
            },
            troubles: member.troubles(),
        };
        self.members.iter().map(view).collect()
    }
}
