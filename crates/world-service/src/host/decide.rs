//! Deciding: inputs become one batch. Nothing here waits.

use std::collections::VecDeque;

use tidings_bus::{Append, Fence, Message, Subject};
use tidings_protocol::proto::world::v1::{self as wire, zone_reply};
use tidings_protocol::{Audience, CharacterId, ErrorCode};
use tidings_service::CallError;
use tidings_service::subjects::LOG_PAYLOAD_MAX;
use tidings_world::input::{Command, Handover, Origin, Timer};
use tidings_world::output::{Act, Event, Persist};
use tidings_world::{Input, Output, step};
use tokio::time::Instant;

use super::batch::{Batch, Due};
use super::config::{WAITING_MAX, WAITING_TIME};
use super::late::{Entering, Late, MoveEnd, Moved};
use super::moves;
use super::requests::{self, Along, Arrive, Kind};
use super::work::Work;
use super::zone::{OwnedZone, refuse};
use crate::convert;

/// Replies of commands that ended elsewhere, remembered for those who ask again: a few seconds of walking.
const REPLIED_ELSEWHERE_MAX: usize = 1024;

/// What one input put out, as far as its own answer needs it.
#[derive(Default)]
struct Seen {
    /// The place of the audiences' record, and the audiences after it.
    audiences: Option<(usize, Vec<String>)>,
    /// The place of the event that carries a command's outcome.
    own: Option<usize>,
    /// A character's state, to be kept.
    kept: Option<String>,
    /// It was refused.
    refused: bool,
}

impl OwnedZone {
    /// Decides what waits, until a batch is full. A character from another zone has a batch of its own.
    pub(super) fn decide(&mut self) -> Batch {
        let mut batch = Batch::with_room(self.last_effects);
        self.tick();
        self.figures.waiting.set(self.work.len() as f64);
        while !batch.is_full() {
            let alone = matches!(self.work.front(), Some(Work::Late(Late::Arrive(..))));
            if alone && batch.inputs > 0 {
                break;
            }
            let Some(work) = self.work.pop_front() else { break };
            batch.inputs += 1;
            self.decide_one(work, &mut batch);
            batch.decided();
            if alone {
                break;
            }
        }
        self.last_effects = batch.record.effect_bytes();
        self.figures.inputs.increment(batch.inputs as u64);
        batch
    }

    fn decide_one(&mut self, work: Work, batch: &mut Batch) {
        match work {
            Work::Wake => {
                let outputs = self.rules.wake(self.now, &mut self.rng);
                self.in_parts(outputs.into(), batch);
            }
            Work::Rest(outputs) => self.in_parts(outputs, batch),
            Work::Timer(Timer::Beat) => {
                let outputs = step(&mut self.rules, Input::Timer(Timer::Beat), self.now, &mut self.rng);
                self.in_parts(outputs.into(), batch);
            }
            Work::Fact(fact) => drop(self.step(Input::Fact(fact), batch)),
            Work::Timer(timer) => drop(self.step(Input::Timer(timer), batch)),
            Work::Late(Late::Answer(number, answer)) => {
                let fact = tidings_world::input::Fact::Answer(number, answer);
                self.step(Input::Fact(fact), batch);
            }
            // Whoever asked has given up, and may have been told that nobody came in.
            Work::Late(Late::Enter(one)) if is_over(&one.message) => refuse(one.message),
            Work::Late(Late::Arrive(message, _)) if is_over(&message) => refuse(message),
            // It was here when it was asked for, and has left since.
            Work::Late(Late::Enter(one)) if one.mutes.is_none() && !self.rules.owns(one.arrival.id) => {
                self.look_up(one)
            }
            Work::Late(Late::Enter(Entering { message, origin, arrival, view_locale, mutes })) => {
                let character = arrival.id;
                let ask = tidings_world::input::Ask::Enter(arrival);
                let command = Command { origin, character, ask };
                self.ask(message, Kind::Enter(Along { view_locale, mutes }), command, batch);
            }
            Work::Late(Late::Arrive(message, arrive)) => self.arrive(message, *arrive, batch),
            Work::Late(Late::Moved(moved)) => self.moved(*moved, batch),
            Work::Late(Late::Unanswered(to, traveller)) => self.unanswered.push((to, traveller)),
            Work::Late(Late::Posted(to, number)) => {
                self.posting.remove(&to);
                self.step(Input::Fact(tidings_world::input::Fact::Delivered(to, number)), batch);
            }
            Work::Late(Late::Done) => {}
            Work::Ask(message, kind, command) => self.ask(message, kind, command, batch),
            Work::Tell(message, fact) => {
                self.step(Input::Fact(fact), batch);
                batch.due.push((message, Due::Done));
            }
        }
    }

    /// Waking and a beat are no decisions of one moment: where they are more than fits a commit they are cut, before an
    /// effect, so that each change stays with the events that tell of it; what one change tells in more rooms than a
    /// commit has messages goes on in the next.
    fn in_parts(&mut self, mut outputs: VecDeque<Output>, batch: &mut Batch) {
        while let Some(output) = outputs.pop_front() {
            let cut = batch.is_full() && matches!(output, Output::Effect(_));
            if cut || !batch.has_room() {
                outputs.push_front(output);
                self.work.push_front(Work::Rest(outputs));
                return;
            }
            self.absorb(vec![output], batch);
        }
    }

    fn step(&mut self, input: Input, batch: &mut Batch) -> Seen {
        let outputs = step(&mut self.rules, input, self.now, &mut self.rng);
        self.absorb(outputs, batch)
    }

    fn ask(&mut self, message: Message, kind: Kind, command: Command, batch: &mut Batch) {
        let character = command.character;
        if self.rules.is_moving(character) {
            self.hold(Work::Ask(message, kind, command), character);
            return;
        }
        match kind {
            Kind::Command if self.is_elsewhere(character) => self.command_elsewhere(message, &command, batch),
            Kind::Command => self.command(message, command, batch),
            Kind::Enter(along) => self.enter(message, command, along, batch),
            Kind::Leave | Kind::Link if !self.rules.owns(character) => {
                self.elsewhere(message, character, kind, batch)
            }
            Kind::Leave => {
                let seen = self.step(Input::Command(command), batch);
                let place = seen.audiences.map(|(place, _)| place);
                batch.due.push((message, Due::Left(place, seen.kept.unwrap_or_default())));
            }
            Kind::Link => {
                if self.step(Input::Command(command), batch).refused {
                    let text = "The character has a later connection.";
                    let error = CallError::new(ErrorCode::FailedPrecondition, text);
                    return drop(message.respond(requests::refusal(error)));
                }
                batch.due.push((message, Due::Done));
            }
        }
    }

    /// Whether the character is in another zone, as far as this host knows.
    pub(super) fn is_elsewhere(&self, character: CharacterId) -> bool {
        let present = || self.shared.hub.find(character);
        !self.rules.owns(character)
            && !self.rules.is_moving(character)
            && present().is_some_and(|present| present.zone != self.id)
    }

    /// The command moved the character away and is asked again, or it is asked of the wrong zone.
    fn command_elsewhere(&mut self, message: Message, command: &Command, batch: &mut Batch) {
        match self.replied_elsewhere.iter().rev().find(|(origin, _)| *origin == command.origin) {
            Some((_, seq)) => batch.due.push((message, Due::InLogAt(*seq))),
            None => self.elsewhere(message, command.character, Kind::Command, batch),
        }
    }

    /// A command's answer comes with its outcome: now, or when a question is answered or a move has ended.
    fn command(&mut self, message: Message, command: Command, batch: &mut Batch) {
        if let Some(earlier) = self.waiting.get_mut(&command.origin) {
            // Asked again before there is an outcome: the new asker gets it.
            refuse(std::mem::replace(&mut earlier.0, message));
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            refuse(message);
            return;
        }
        self.asking = Some((command.origin.clone(), message));
        self.step(Input::Command(command), batch);
        if let Some((origin, message)) = self.asking.take() {
            self.waiting.insert(origin, (message, Instant::now()));
        }
    }

    /// Whoever waits for the outcome of a command.
    fn asker_of(&mut self, origin: &Origin) -> Option<Message> {
        match self.asking.take_if(|(asking, _)| asking == origin) {
            Some((_, message)) => Some(message),
            None => self.waiting.remove(origin).map(|(message, _)| message),
        }
    }

    fn enter(&mut self, message: Message, command: Command, along: Along, batch: &mut Batch) {
        let character = command.character;
        let was_there = self.rules.owns(character);
        let seen = self.step(Input::Command(command), batch);
        if seen.refused || !self.rules.owns(character) {
            let error = CallError::new(ErrorCode::FailedPrecondition, "There is no room to enter here.");
            drop(message.respond(requests::refusal(error)));
            return;
        }
        let (place, audiences) = match seen.audiences {
            Some((place, audiences)) => (Some(place), audiences),
            None => (None, convert::audience_names(&self.rules.audiences(character))),
        };
        batch.due.push((message, Due::Entered { place, audiences, was_there, character, along }));
    }

    /// The character is in another zone, or in none.
    fn elsewhere(&mut self, message: Message, character: CharacterId, kind: Kind, batch: &mut Batch) {
        let present = self.shared.hub.find(character).filter(|present| present.zone != self.id);
        match (present, kind) {
            (Some(present), _) => {
                let text = format!("The character is in zone '{}'.", present.zone);
                drop(message.respond(requests::refusal(CallError::new(ErrorCode::Aborted, text))));
            }
            (None, Kind::Leave) => batch.due.push((message, Due::Left(None, String::new()))),
            (None, _) => {
                let error = CallError::new(ErrorCode::NotFound, "The character is not in the world.");
                drop(message.respond(requests::refusal(error)));
            }
        }
    }

    /// What is asked of a character on its way waits, within the bound of what waits at all.
    fn hold(&mut self, work: Work, character: CharacterId) {
        let held = self.held.entry(character).or_default();
        if held.len() < HELD_MAX {
            held.push(work);
        } else if let Some(message) = work.into_message() {
            refuse(message);
        }
    }

    /// A move has ended.
    fn moved(&mut self, moved: Moved, batch: &mut Batch) {
        self.moving.remove(&moved.move_id);
        self.step(Input::Handover(moves::handover(&moved)), batch);
        let origin = moved.origin.filter(|origin| !origin.id.is_empty());
        if let (MoveEnd::Arrived(seq), Some(origin)) = (moved.end, origin) {
            if let Some(message) = self.asker_of(&origin) {
                batch.due.push((message, Due::InLogAt(seq)));
            }
            if self.replied_elsewhere.len() >= REPLIED_ELSEWHERE_MAX {
                self.replied_elsewhere.pop_front();
            }
            self.replied_elsewhere.push_back((origin, seq));
        }
        self.release_held();
    }

    /// What waited for a way that is known now.
    fn release_held(&mut self) {
        let known: Vec<_> = self.held.keys().copied().filter(|id| !self.rules.is_moving(*id)).collect();
        for id in known {
            for work in self.held.remove(&id).into_iter().flatten().rev() {
                self.work.push_front(work);
            }
        }
    }

    fn arrive(&mut self, message: Message, arrive: Arrive, batch: &mut Batch) {
        let move_id = arrive.traveller.move_id.clone();
        if let Some(answer) = self.known_move(&move_id) {
            drop(message.respond(requests::answer(answer)));
            return;
        }
        let owner = match self.shared.logs(&arrive.from) {
            Ok(logs) => logs.owner,
            Err(error) => return drop(message.respond(requests::refusal(error.into()))),
        };
        let seen = self.step(Input::Handover(Handover::Arrive(arrive.traveller)), batch);
        if seen.refused {
            batch.due.push((message, Due::NotArrived));
            return;
        }
        batch.fences.push(Fence { subject: owner, seq: arrive.owner_seq });
        let place = seen.own.or(seen.audiences.map(|(place, _)| place));
        // The record is the first message of the commit, the events follow it.
        let offset = place.map_or(batch.events.len(), |place| 1 + place);
        batch.record.moves.push((move_id, offset as u64));
        batch.due.push((message, Due::Arrived(place)));
    }

    /// The answer about a move that was let in before.
    pub(super) fn known_move(&self, move_id: &str) -> Option<zone_reply::Answer> {
        let seq = self.moves.find(move_id).or(self.rules.knows_move(move_id).then_some(self.last_seq))?;
        Some(zone_reply::Answer::Handover(wire::HandoverDone { accepted: true, seq }))
    }

    /// Takes the outputs of an input: the zone has changed already.
    fn absorb(&mut self, outputs: Vec<Output>, batch: &mut Batch) -> Seen {
        let mut seen = Seen::default();
        for output in outputs {
            match output {
                Output::Effect(effect) => batch.record.effect(&effect),
                Output::Event(event) => self.event(event, batch, &mut seen),
                Output::Reply(reply) if reply.origin.id.is_empty() => seen.refused |= !reply.ok,
                Output::Reply(reply) => {
                    if !reply.ok {
                        self.figures.refused(&reply.text);
                    }
                    if let Some(message) = self.asker_of(&reply.origin) {
                        batch.due.push((message, Due::Reply(reply.ok, reply.text)));
                    }
                }
                Output::SetTimer(timer, at) => self.timers.set(timer, at),
                Output::HandoverRefused(_) => seen.refused = true,
                Output::Act(Act::Ban(account, until, reason)) => {
                    batch.record.bans.push((account, until, reason))
                }
                Output::Persist(persist) => {
                    if let Persist::Character(_, _, state) = &persist {
                        seen.kept = Some(state.clone());
                    }
                    batch.after.push(Output::Persist(persist));
                }
                later => batch.after.push(later),
            }
        }
        seen
    }

    fn event(&mut self, event: Box<Event>, batch: &mut Batch, seen: &mut Seen) {
        let Some(audience) = &event.audience else {
            tracing::error!(kind = %event.kind, "an event without an audience is left out");
            return;
        };
        let subject = match self.log_of(audience) {
            Ok(subject) => subject,
            Err(error) => {
                tracing::error!(%audience, %error, "an event for a log that cannot be is left out");
                return;
            }
        };
        let place = batch.events.len();
        let payload = convert::encode_event(&mut self.pen, &event, self.now);
        if payload.len() > LOG_PAYLOAD_MAX {
            return self.left_out(event.origin, &subject, payload.len());
        }
        if let Some((_, after)) = &event.audiences {
            seen.audiences = Some((place, convert::audience_names(after)));
        }
        if event.own.is_some() {
            seen.own = Some(place);
            self.outcome_at(event.origin, place, batch);
        }
        batch.beyond |= !matches!(audience, Audience::Room(room) if room.is_in(&self.id));
        batch.events.push(Append { subject, payload });
    }

    /// One event that no log takes must not cost the others their commit.
    fn left_out(&mut self, origin: Option<Origin>, log: &Subject, bytes: usize) {
        tracing::error!(%log, bytes, "an event is too large for its log and is left out");
        self.figures.left_out.increment(1);
        if let Some(message) = origin.and_then(|origin| self.asker_of(&origin)) {
            let error = CallError::new(ErrorCode::TooLarge, "This is more than fits a message.");
            drop(message.respond(requests::refusal(error)));
        }
    }

    /// An event that carries a command's outcome answers the command.
    fn outcome_at(&mut self, origin: Option<Origin>, place: usize, batch: &mut Batch) {
        let Some(origin) = origin.filter(|origin| !origin.id.is_empty()) else { return };
        if let Some(message) = self.asker_of(&origin) {
            batch.due.push((message, Due::InLog(place)));
        }
    }

    /// Commands that nobody waits for any more are forgotten.
    pub(super) fn forget_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        self.waiting.retain(|_, (_, since)| now.duration_since(*since) < WAITING_TIME);
    }
}

fn is_over(message: &Message) -> bool {
    message.time_left().is_some_and(|left| left.is_zero())
}

/// Requests that wait for one character on its way: more than a session has in flight.
const HELD_MAX: usize = 64;
