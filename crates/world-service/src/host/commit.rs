//! Committing: one batch becomes one commit, and what follows it is done.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use prost::Message as _;
use tidings_bus::{Append, Bus, Error as BusError, ErrorKind, Fence};
use tidings_protocol::{CharacterId, ZoneId};
use tidings_service::CallError;
use tidings_storage::{Checkpoint, Record, Stamp};
use tidings_world::Output;
use tidings_world::input::{Answer, Fact, Present};
use tidings_world::output::{Act, Query};
use tokio::time::Instant;

use super::batch::{Batch, Brings, Due, Placed, answer};
use super::config::{ALONE_MAX, UNDER_WAY_MAX};
use super::late::{self, Late};
use super::owner::End;
use super::record::Snapshot;
use super::requests::{self, Along};
use super::shared::Shared;
use super::work::Work;
use super::writer::Write;
use super::zone::{OwnedZone, refuse};
use crate::convert;

impl OwnedZone {
    /// Commits a batch and does what follows. Where the commit is not taken, nothing follows and the zone ends.
    pub(super) async fn commit(&mut self, mut batch: Batch) -> Result<(), End> {
        let mut stored = Placed { first: self.last_seq, events: Vec::new(), last: self.last_seq };
        if batch.changes_anything() {
            stored = match self.store(&mut batch).await {
                Ok(stored) => stored,
                Err(error) => return Err(self.not_taken(batch, &error).await),
            };
        }
        self.follow_up(batch, stored).await;
        Ok(())
    }

    /// Lines, each with its record where that is cheaper, or one commit: the zone's record, and the events.
    async fn store(&mut self, batch: &mut Batch) -> Result<Placed, BusError> {
        let bytes = batch.record.effects().len();
        let apart = batch.is_lines() && self.shared.bus.is_cheaper_apart(batch.events.len());
        if !apart || bytes >= ALONE_MAX {
            return self.store_record(batch).await;
        }
        if !self.alone.has_room(bytes) {
            self.store_record(&mut Batch::default()).await?;
        }
        let Some(lines) = batch.lines(self.last_record) else { return self.store_record(batch).await };
        batch.in_part = lines.len() > 1;
        let events = self.append(lines, None).await?;
        self.alone.add(batch.record.effects());
        Ok(Placed { first: events[0], events, last: self.last_seq })
    }

    async fn store_record(&mut self, batch: &mut Batch) -> Result<Placed, BusError> {
        let before = self.alone.take();
        let appends = batch.appends(&self.logs.log, self.last_record, &before, self.now);
        let fences = std::mem::take(&mut batch.fences);
        let mut events = self.append(appends, Some(fences)).await?;
        self.last_record = events.remove(0);
        Ok(Placed { first: self.last_record, events, last: self.last_seq })
    }

    /// Stores under the zone's fence: in one commit with the fences `whole`, or each by itself. Answers the sequences.
    async fn append(&mut self, batch: Vec<Append>, whole: Option<Vec<Fence>>) -> Result<Vec<u64>, BusError> {
        let bytes: usize = batch.iter().map(|append| append.payload.len()).sum();
        let records = batch.len();
        let started = Instant::now();
        let answer = commit(&self.shared.bus, batch, self.fence.clone(), whole);
        let seqs = match tokio::time::timeout(self.shared.config.commit_deadline, answer).await {
            Ok(answer) => answer?,
            Err(_) => return Err(BusError::new(ErrorKind::Timeout, "the commit has no answer")),
        };
        self.figures.commit_seconds.record(started.elapsed().as_secs_f64());
        self.figures.commit_records.record(records as f64);
        self.figures.commit_bytes.record(bytes as f64);
        self.figures.commits.increment(1);
        // Lines that were sent again, or by several connections, are not in the stream's order.
        self.last_seq = seqs.iter().copied().max().unwrap_or(self.last_seq);
        self.commits += 1;
        self.uncheckpointed += 1;
        Ok(seqs)
    }

    /// Everyone in the batch is told to try again; what the batch decided is forgotten with the state.
    async fn not_taken(&mut self, batch: Batch, error: &BusError) -> End {
        // Of several lines some may be stored: whoever asks again learns which.
        let in_part = batch.in_part;
        let messages = batch.due.into_iter().map(|(message, _)| message);
        if error.kind() == ErrorKind::Fenced {
            messages.for_each(refuse);
            if self.is_still_owner().await {
                // The other fence of a move: its zone changed hands, and the new owner asks again.
                return End::RolledBack;
            }
            self.figures.fenced.increment(1);
            tracing::warn!(zone = %self.id, "another host owns the zone");
            return End::Fenced;
        }
        self.figures.failed.increment(1);
        tracing::error!(zone = %self.id, %error, kind = ?error.kind(), "a commit failed; the zone is rolled back");
        if error.is_retryable() || in_part {
            messages.for_each(refuse);
        } else {
            // Trying again would fail again.
            messages.for_each(|message| {
                drop(message.respond(requests::refusal(CallError::internal("This could not be stored."))));
            });
        }
        End::RolledBack
    }

    async fn is_still_owner(&mut self) -> bool {
        match self.shared.bus.last(&self.logs.owner).await {
            Ok(last) => last.is_some_and(|message| message.seq == self.fence.seq),
            Err(_) => false,
        }
    }

    /// What follows a commit, in this order: storage, who is where and what other zones must know, replies. So
    /// what a reply says is known wherever its reader may ask next.
    async fn follow_up(&mut self, mut batch: Batch, stored: Placed) {
        for (id, offset) in batch.record.moves.drain(..) {
            self.moves.add(id, stored.first + offset);
        }
        let mut records: Vec<Record> = batch.record.bans.drain(..).map(convert::ban_record).collect();
        let (mut presence, mut acts) = (Vec::new(), Vec::new());
        for output in std::mem::take(&mut batch.after) {
            match output {
                Output::Persist(persist) => records.push(convert::storage_record(persist)),
                Output::Present(present) => presence.push((present.id, Some(present))),
                Output::Absent(id) => presence.push((id, None)),
                Output::Ask(number, query) => self.ask_service(number, query),
                Output::Handover(to, traveller) => self.hand_over(to, *traveller),
                Output::Post(to, letter) => self.posted(&to, letter),
                Output::NotPosted(to) => self.not_posted(&to),
                Output::Act(act) => acts.push(act),
                Output::Effect(_)
                | Output::Event(_)
                | Output::Reply(_)
                | Output::SetTimer(..)
                | Output::HandoverRefused(_) => {}
            }
        }
        self.bring_letters();
        let stamp = Stamp { epoch: self.shared.bus.epoch(), seq: stored.first };
        if !records.is_empty() {
            // First: whoever is answered after this knows the mutes among them.
            self.writer.write(Write::Records(stamp, records)).await;
        }
        tell_presence(&self.shared, &self.id, presence).await;
        for act in acts {
            self.act(act).await;
        }
        // Made first and sent in one go: an edge that waits for many is woken once.
        let answers: Vec<_> = batch
            .due
            .into_iter()
            .map(|(message, due)| {
                // Whoever enters again is read from storage: the answer comes once that is so.
                let after_writes = matches!(due, Due::Left(..));
                (message, self.answer(due, &stored), after_writes)
            })
            .collect();
        for (message, answer, after_writes) in answers {
            if after_writes {
                self.writer.write(Write::Answer(message, answer)).await;
            } else {
                drop(message.respond(answer));
            }
        }
    }

    fn answer(&self, mut due: Due, stored: &Placed) -> Bytes {
        let brings = match &mut due {
            Due::Entered { character, along, .. } => self.brings(*character, along),
            _ => Brings::default(),
        };
        answer(due, self.id.as_str(), stored, brings)
    }

    /// The mutes as they are now: zones that did not know yet that the character is here may have committed some since they
    /// were looked up.
    fn brings(&self, character: CharacterId, along: &mut Along) -> Brings {
        let locale = &along.view_locale;
        let room = if locale.is_empty() { None } else { self.room_of(character, locale) };
        let told =
            |(account, marks)| self.shared.unwritten.told(account, marks, &self.shared.bus.epoch(), self.now);
        (room, along.mutes.take().map(told))
    }

    fn ask_service(&mut self, number: u64, query: Query) {
        if self.under_way.len() >= UNDER_WAY_MAX {
            self.work.push_back(Work::Late(Late::Answer(number, Answer::Failed)));
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.under_way.push(async move { late::ask(&shared, number, query).await }.boxed());
    }

    async fn act(&mut self, act: Act) {
        let shared = Arc::clone(&self.shared);
        match act {
            // Once storage has the ban: who signs in between the two would stay.
            Act::Revoke(account, code, reason) => {
                let written = self.writer.written().await;
                let revoke = async move {
                    drop(written.await);
                    late::revoke(&shared, account, code, reason).await
                };
                self.under_way.push(revoke.boxed());
            }
            // In the zone's record, and with its storage writes.
            Act::Ban(..) => {}
            Act::Shutdown => self.shared.shutdown.cancel(),
        }
    }

    /// A checkpoint once enough has happened since the last one.
    pub(super) async fn checkpoint_if_due(&mut self) -> Result<(), End> {
        let config = &self.shared.config;
        let due = self.uncheckpointed >= config.checkpoint_commits
            || self.checkpointed.elapsed() >= config.checkpoint_every;
        if due { self.checkpoint().await } else { Ok(()) }
    }

    /// Keeps the state, so that the log before it is not needed any more. Where it is not known whether the zone is still
    /// this host's, the zone ends.
    pub(super) async fn checkpoint(&mut self) -> Result<(), End> {
        self.checkpointed = Instant::now();
        if self.uncheckpointed == 0 {
            return Ok(());
        }
        if !self.alone.is_empty() {
            // The state is that of the zone's last record then.
            let mut nothing = Batch::default();
            if let Err(error) = self.store_record(&mut nothing).await {
                return Err(self.not_taken(nothing, &error).await);
            }
        }
        self.uncheckpointed = 0;
        let body = Snapshot::body(&self.moves, self.now, &self.rules.checkpoint());
        self.figures.checkpoint_bytes.set(body.len() as f64);
        let stamp = Stamp { epoch: self.shared.bus.epoch(), seq: self.last_record };
        let checkpoint = Checkpoint { zone: self.id.clone(), stamp, body };
        self.writer.write(Write::Checkpoint(Box::new(checkpoint), self.logs.log.clone())).await;
        Ok(())
    }
}

/// In one commit with the fences `whole` too, or each by itself.
async fn commit(
    bus: &Bus,
    batch: Vec<Append>,
    own: Fence,
    whole: Option<Vec<Fence>>,
) -> Result<Vec<u64>, BusError> {
    let Some(beside) = whole else { return bus.commit_each(batch, vec![own]).await };
    let fences = std::iter::once(own).chain(beside).collect();
    Ok(bus.commit(batch, fences).await?.seqs().collect())
}

/// Every zone here is told, and the KV for those of other hosts.
async fn tell_presence(shared: &Shared, zone: &ZoneId, changes: Vec<(CharacterId, Option<Present>)>) {
    if changes.is_empty() {
        return;
    }
    let kv = &shared.presence;
    let writes = changes.into_iter().map(|(id, present)| {
        let fact = present.clone().map_or(Fact::Absent(id), Fact::Present);
        shared.hub.tell(Some(zone), &fact);
        async move {
            let key = id.to_string();
            match present {
                Some(present) => {
                    let value = convert::wire_present(&present).encode_to_vec();
                    kv.put(&key, value.into(), None).await.map(drop)
                }
                None => kv.delete(&key).await,
            }
        }
    });
    for error in join_all(writes).await.into_iter().filter_map(Result::err) {
        metrics::counter!("tidings_zone_presence_errors_total").increment(1);
        tracing::warn!(%zone, %error, "presence was not written");
    }
}
