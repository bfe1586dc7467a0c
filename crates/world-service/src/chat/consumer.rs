//! The reader of the logs.
//!
//! Which logs there are it learns from the logs: a player's log names every audience the character joins. Players it
//! knows from storage at the start, and from the bucket of sessions since: a session is there before its character
//! enters the world. A log that is new to it is read from its first retained record.

use std::collections::HashMap;
use std::time::Duration;

use tidings_bus::{ErrorKind, FollowSet, Followed, From, KvEvent, LogMessage, Subject};
use tidings_protocol::{Audience, CharacterId, EventRef};
use tidings_service::{CallError, Subjects};
use tidings_storage::{ChatLine, ChatLog, PAGE_MAX};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{ChatService, line};
use crate::failure::stored;

/// Lines of one transaction: what a loaded world says in a twentieth of a second.
const LINES_A_WRITE: usize = 4096;
/// Bytes of their texts: some hundred lines of the longest kind.
const BYTES_A_WRITE: usize = 4 * 1024 * 1024;
/// How long lines wait for others to be read and written with: history reads what waits from the log.
const LINES_WAIT: Duration = Duration::from_millis(250);
/// How long mere progress waits: what a restart would read again.
const PLACES_WAIT: Duration = Duration::from_secs(5);
/// The pause before storage is asked again that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How often old lines are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// What was read and is not stored yet.
#[derive(Default)]
struct Pending {
    logs: Vec<ChatLog>,
    places: HashMap<Subject, usize>,
    lines: usize,
    bytes: usize,
    due: Option<Instant>,
}

impl Pending {
    fn wait(&mut self, at_most: Duration) {
        let due = Instant::now() + at_most;
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    fn is_full(&self) -> bool {
        self.lines >= LINES_A_WRITE || self.bytes >= BYTES_A_WRITE
    }

    /// A log was read up to there.
    fn read(&mut self, subject: &Subject, audience: &Audience, through: u64, line: Option<ChatLine>) {
        let at_most = if line.is_some() { LINES_WAIT } else { PLACES_WAIT };
        let log = match self.places.get(subject) {
            Some(place) => &mut self.logs[*place],
            None => {
                self.places.insert(subject.clone(), self.logs.len());
                self.logs.push(ChatLog { audience: audience.clone(), through, lines: Vec::new() });
                self.logs.last_mut().expect("pushed just now")
            }
        };
        log.through = through;
        if let Some(line) = line {
            self.lines += 1;
            self.bytes += line.body.len();
            log.lines.push(line);
        }
        self.wait(at_most);
    }

    fn forget(&mut self, subject: &Subject) {
        let Some(place) = self.places.remove(subject) else { return };
        self.logs.swap_remove(place);
        let moved = self.logs.len();
        self.places.values_mut().filter(|other| **other == moved).for_each(|other| *other = place);
    }
}

struct Reader<'a> {
    service: &'a ChatService,
    epoch: String,
    set: FollowSet,
    followed: HashMap<Subject, Audience>,
    pending: Pending,
}

impl ChatService {
    /// Reads until it is told to stop; what was read is stored then.
    pub async fn maintain(self, stop: CancellationToken) -> Result<(), CallError> {
        let bus = &self.inner.bus;
        let mut reader = Reader {
            service: &self,
            epoch: bus.epoch(),
            set: bus.follow_set(),
            followed: HashMap::new(),
            pending: Pending::default(),
        };
        // Watched before storage is read: who is made in between is seen by the one or the other.
        let mut sessions = self.inner.sessions.watch();
        reader.begin().await?;
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = reader.pending.due.unwrap_or_else(|| Instant::now() + PLACES_WAIT);
            // After the first line the log is left alone until the others are due: what is said there costs one
            // wake in a while, not one a commit.
            let idle = reader.pending.lines == 0;
            tokio::select! {
                biased;
                () = stop.cancelled() => return reader.write().await,
                event = sessions.next() => match event {
                    Ok(KvEvent::Put(entry)) => reader.player(&entry.key)?,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) => return Err(error.into()),
                },
                _ = prune.tick() => reader.prune().await,
                () = sleep_until(due), if reader.pending.due.is_some() => reader.write_ready().await?,
                next = reader.set.next(), if idle => match next {
                    Ok(followed) => reader.record(followed)?,
                    Err(error) if error.kind() == ErrorKind::Closed => return Ok(()),
                    Err(error) => return Err(error.into()),
                },
            }
        }
    }
}

impl ChatService {
    /// Parties made longer ago than lines are kept, of which neither the log nor storage has anything left; storage's
    /// places in their logs are forgotten. One that only was silent for all that time is known again by the next move of
    /// a member.
    async fn ended_parties(&self, parties: Vec<Audience>) -> Result<Vec<Audience>, CallError> {
        let super::Inner { store, bus, clock, config, .. } = &*self.inner;
        let kept = u64::try_from(config.keep.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(clock()).unwrap_or(0);
        let mut silent = Vec::new();
        for party in parties {
            let Audience::Party(id) = &party else { continue };
            if id.unix_ms().saturating_add(kept) > now {
                continue;
            }
            if bus.last(&Subjects(bus.registry()).log(&party)?).await?.is_none() {
                silent.push(party);
            }
        }
        store.forget_chat(&silent).await.map_err(stored)
    }
}

impl Reader<'_> {
    /// Follows what storage knows.
    async fn begin(&mut self) -> Result<(), CallError> {
        let store = &self.service.inner.store;
        let mut after: Option<Audience> = None;
        loop {
            let page = store.chat_cursors(&self.epoch, after.as_ref(), PAGE_MAX).await.map_err(stored)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (audience, place) in page {
                self.follow(audience, place)?;
            }
        }
        let mut after: Option<CharacterId> = None;
        loop {
            let page = store.character_ids(after, PAGE_MAX).await.map_err(stored)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for id in page {
                self.follow(Audience::Player(id), 0)?;
            }
        }
    }

    /// The log's subject where it was not followed yet.
    fn follow(&mut self, audience: Audience, after: u64) -> Result<Option<Subject>, CallError> {
        let subject = Subjects(self.service.inner.bus.registry()).log(&audience)?;
        if self.followed.contains_key(&subject) {
            return Ok(None);
        }
        self.set.add(subject.clone(), From::After(after));
        self.followed.insert(subject.clone(), audience);
        Ok(Some(subject))
    }

    /// An audience that may be new: what storage has a place of is followed since the start, so this one is read from its
    /// first record. It is noted with what is read, so that a restart knows of it.
    fn discover(&mut self, audience: Audience) -> Result<(), CallError> {
        if let Some(subject) = self.follow(audience.clone(), 0)? {
            self.pending.read(&subject, &audience, 0, None);
            self.pending.wait(LINES_WAIT);
        }
        Ok(())
    }

    fn player(&mut self, character: &str) -> Result<(), CallError> {
        match character.parse() {
            Ok(id) => self.discover(Audience::Player(id)),
            Err(_) => Ok(()),
        }
    }

    /// Reads what is there and writes it, a transaction at a time and for as long at most as lines wait: where that is not
    /// all, it goes on at once.
    async fn write_ready(&mut self) -> Result<(), CallError> {
        let until = Instant::now() + LINES_WAIT;
        let more = loop {
            if self.pending.is_full() || Instant::now() >= until {
                break true;
            }
            match self.ready(until).await {
                Some(next) => self.record(next?)?,
                None => break false,
            }
        };
        if self.try_write().await && more {
            self.pending.wait(Duration::ZERO);
        }
        Ok(())
    }

    /// The next record that was said already: also one that has to be fetched first, since it is no longer among the
    /// newest, which are in memory.
    async fn ready(&mut self, until: Instant) -> Option<Result<Followed, tidings_bus::Error>> {
        if let Some(next) = self.set.try_next() {
            return Some(next);
        }
        if self.set.position().1.is_empty() {
            return None;
        }
        timeout_at(until, self.set.next()).await.ok()
    }

    fn record(&mut self, followed: Followed) -> Result<(), CallError> {
        match followed {
            Followed::Message(message) => self.message(&message),
            Followed::Hole { subject, after, first } => {
                // From the beginning of a log there is nothing to miss.
                if after > 0 {
                    metrics::counter!("tidings_chat_holes_total").increment(1);
                    tracing::warn!(%subject, after, first, "the history misses what is no longer retained");
                }
                Ok(())
            }
        }
    }

    fn message(&mut self, message: &LogMessage) -> Result<(), CallError> {
        let line = match EventRef::read(&message.payload) {
            Ok(event) => {
                for name in event.audiences.iter().flat_map(|audiences| &audiences.after) {
                    if let Ok(joined) = name.parse() {
                        self.discover(joined)?;
                    }
                }
                self.followed.get(&message.subject).and_then(|audience| line::of(audience, message, &event))
            }
            Err(_) => {
                metrics::counter!("tidings_chat_unreadable_total").increment(1);
                None
            }
        };
        if let Some(audience) = self.followed.get(&message.subject) {
            self.pending.read(&message.subject, audience, message.seq, line);
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), CallError> {
        let Pending { logs, lines, .. } = &self.pending;
        if !logs.is_empty() {
            self.service.inner.store.record_chat(&self.epoch, logs).await.map_err(stored)?;
            metrics::counter!("tidings_chat_lines_total").increment(*lines as u64);
        }
        self.pending = Pending::default();
        Ok(())
    }

    /// Keeps what could not be stored, and reads no more than fits beside it.
    async fn try_write(&mut self) -> bool {
        let written = self.write().await.is_ok();
        if !written {
            metrics::counter!("tidings_chat_writes_failed_total").increment(1);
            self.pending.due = Some(Instant::now() + AGAIN);
        }
        written
    }

    /// Forgets old lines, and logs of characters and of parties that are no more.
    async fn prune(&mut self) {
        let super::Inner { store, clock, config, .. } = &*self.service.inner;
        let keep = i64::try_from(config.keep.as_millis()).unwrap_or(i64::MAX / 4);
        if let Err(error) = store.prune_chat(clock() - keep, config.lines_max).await {
            tracing::warn!(%error, "old lines could not be forgotten");
        }
        let players = self.followed.values().filter_map(|audience| match audience {
            Audience::Player(id) => Some(*id),
            _ => None,
        });
        for id in players.collect::<Vec<_>>() {
            if matches!(store.character(id).await, Ok(None)) {
                self.unfollow(&Audience::Player(id));
            }
        }
        let parties = self.followed.values().filter(|audience| matches!(audience, Audience::Party(_)));
        let parties = parties.cloned().collect();
        match self.service.ended_parties(parties).await {
            Ok(ended) => ended.iter().for_each(|party| self.unfollow(party)),
            Err(error) => tracing::warn!(%error, "parties without a line could not be forgotten"),
        }
    }

    fn unfollow(&mut self, audience: &Audience) {
        if let Ok(subject) = Subjects(self.service.inner.bus.registry()).log(audience) {
            self.set.remove(&subject);
            self.followed.remove(&subject);
            self.pending.forget(&subject);
        }
    }
}
