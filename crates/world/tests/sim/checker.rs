//! What must hold, checked on the records that were committed and the replies that were sent alone.

use std::collections::{BTreeMap, BTreeSet};

use tidings_protocol::{AccountId, Audience, Catalogue, CharacterId, RoomId, ZoneId};
use tidings_world::input::Origin;
use tidings_world::output::{Event, Reply};

use crate::voice::Voice;

/// A player as the checker sees it.
#[derive(Debug, Default)]
struct Seen {
    room: Option<RoomId>,
    /// Left one room and entered none yet.
    between: Option<RoomId>,
    audiences: BTreeSet<Audience>,
}

/// The letters between zones, as their logs have them: posted by one, done by the other.
#[derive(Debug, Default)]
pub struct Letters {
    posted: BTreeMap<(ZoneId, ZoneId), Vec<u64>>,
    done: BTreeMap<(ZoneId, ZoneId), Vec<u64>>,
}

impl Letters {
    /// An effect of a zone's record.
    pub fn committed(&mut self, zone: &ZoneId, effect: &str) {
        let letter = |text: &serde_json::Value, at: usize, number: usize| {
            let other: ZoneId = text[at].as_str().expect("a zone").parse().expect("a zone");
            (other, text[number].as_u64().expect("a number"))
        };
        if effect.starts_with("{\"Posted\"") {
            let effect: serde_json::Value = serde_json::from_str(effect).expect("JSON");
            let (to, number) = letter(&effect["Posted"], 1, 0);
            self.posted.entry((zone.clone(), to)).or_default().push(number);
        } else if effect.starts_with("{\"Heard\"") {
            let effect: serde_json::Value = serde_json::from_str(effect).expect("JSON");
            let (from, number) = letter(&effect["Heard"], 0, 1);
            let way = (from, zone.clone());
            self.done.entry(way.clone()).or_default().push(number);
            let nth = self.done[&way].len() - 1;
            let posted = self.posted.get(&way).and_then(|posted| posted.get(nth));
            assert_eq!(posted, Some(&number), "{way:?}: a letter out of order, or twice");
        }
    }

    /// Nothing is on the way any more.
    pub fn all_came(&self) {
        assert_eq!(self.posted, self.done, "letters were lost");
    }
}

/// What the checker knows.
pub struct Checker {
    catalogue: Catalogue,
    voice: Voice,
    names: BTreeMap<CharacterId, (String, AccountId)>,
    seen: BTreeMap<CharacterId, Seen>,
    /// What the edge filters by: account, whom, on which channel (empty: all).
    filter: BTreeSet<(AccountId, Option<AccountId>, String)>,
    /// Whom a player believes to have muted everywhere, by what it read.
    believed: BTreeMap<CharacterId, BTreeSet<String>>,
    outcomes: BTreeMap<Origin, (bool, String)>,
    told: BTreeSet<Origin>,
    pub lines: u64,
}

impl Checker {
    pub fn new(names: BTreeMap<CharacterId, (String, AccountId)>) -> Self {
        Self {
            catalogue: Catalogue::builtin(),
            voice: Voice::new(),
            seen: names.keys().map(|id| (*id, Seen::default())).collect(),
            names,
            filter: BTreeSet::new(),
            believed: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            told: BTreeSet::new(),
            lines: 0,
        }
    }

    pub fn room_of(&self, id: CharacterId) -> Option<&RoomId> {
        self.seen[&id].room.as_ref()
    }

    /// The records of one commit, in order.
    pub fn commit(&mut self, events: &[Event]) {
        for event in events {
            self.places(event);
            self.mutes(event);
            self.delivery(event);
            self.outcome_of(event);
        }
        for (id, seen) in &self.seen {
            let name = &self.names[id].0;
            assert!(
                seen.between.is_none(),
                "{name} left {:?} and entered nothing in the same commit",
                seen.between
            );
            let rooms: Vec<_> = seen.audiences.iter().filter(|a| matches!(a, Audience::Room(_))).collect();
            let expected: Vec<_> = seen.room.iter().cloned().map(Audience::Room).collect();
            assert_eq!(rooms, expected.iter().collect::<Vec<_>>(), "{name} hears another room than it is in");
        }
    }

    fn places(&mut self, event: &Event) {
        if let (Some((before, after)), Some(Audience::Player(id))) = (&event.audiences, &event.audience) {
            let seen = self.seen.get_mut(id).expect("a known character");
            let before: BTreeSet<_> = before.iter().cloned().collect();
            assert_eq!(before, seen.audiences, "the audiences before are those that were");
            seen.audiences = after.iter().cloned().collect();
        }
        let Some(subject) = event.subject else { return };
        let seen = self.seen.get_mut(&subject).expect("a known character");
        let Some(Audience::Room(room)) = event.audience.clone() else {
            panic!("a border is in a room's log")
        };
        match event.kind.as_ref() {
            "event.joined_world" => {
                assert!(seen.room.is_none() && seen.between.is_none(), "joined while in {:?}", seen.room);
                seen.room = Some(room);
            }
            "event.left_world" => {
                assert_eq!(seen.room.take(), Some(room), "left the world from another room")
            }
            "event.left" => {
                assert_eq!(seen.room.take(), Some(room.clone()), "left a room it was not in");
                assert!(seen.between.replace(room).is_none(), "left twice");
            }
            "event.entered" => {
                assert!(seen.between.take().is_some(), "entered without leaving");
                assert!(seen.room.replace(room).is_none(), "in two rooms");
            }
            other => panic!("'{other}' is no border"),
        }
    }

    fn mutes(&mut self, event: &Event) {
        let Some(mute) = &event.mute else { return };
        let key = (mute.account, mute.target, mute.channel.clone());
        if mute.removed {
            self.filter.remove(&key)
        } else {
            self.filter.insert(key)
        };
    }

    /// Who hears a line, as an edge decides it, and whether they should.
    fn delivery(&mut self, event: &Event) {
        let (Some(text), Some(audience)) = (&event.text, &event.audience) else { return };
        let text = self.catalogue.render(text, "en");
        // A mute is of lines and of invitations, not of who is there.
        let is_line = !event.channel.is_empty() || event.kind == "event.party_invitation";
        let author = event.from.as_ref().filter(|_| is_line).and_then(|from| from.account);
        for (id, seen) in &self.seen {
            let (_, account) = &self.names[id];
            let entitled = match audience {
                Audience::Room(room) => seen.room.as_ref() == Some(room),
                Audience::Player(player) => player == id,
                other => seen.audiences.contains(other),
            };
            let told = event.only.is_empty() || event.only.contains(id);
            if !entitled || !told || event.except.contains(id) {
                continue;
            }
            let muted = |target, channel: &str| self.filter.contains(&(*account, target, channel.to_owned()));
            let filtered = author.is_some() && (muted(author, "") || muted(author, &event.channel))
                || !event.channel.is_empty() && muted(None, &event.channel);
            if filtered && !event.always {
                continue;
            }
            self.lines += 1;
            let named =
                self.believed.get(id).into_iter().flatten().filter(|name| text.contains(name.as_str()));
            for name in named {
                let says = [
                    format!("{name} says: "),
                    format!("[local] {name}: "),
                    format!("[global] {name}: "),
                    format!("[party] {name}: "),
                    format!("[whisper] {name} to you: "),
                    format!("{name} waves"),
                    format!("{name} smiles"),
                    format!("{name} dances"),
                    format!("{name} invites you"),
                ];
                assert!(
                    !says.iter().any(|says| text.starts_with(says)),
                    "{} muted {name} and hears: {text}",
                    self.names[id].0
                );
            }
        }
    }

    fn outcome_of(&mut self, event: &Event) {
        let Some((origin, own)) = event.origin.as_ref().zip(event.own.as_ref()) else { return };
        let text = self.catalogue.render(own, "en");
        assert!(self.voice.is_ours(&text), "not in the server's voice: {text}");
        if !origin.id.is_empty() {
            assert!(self.told.insert(origin.clone()), "a second record for {origin:?}");
            self.outcome(origin, true, text, event.from.as_ref().and_then(|from| from.id), true);
        }
    }

    /// A reply; `stored` when its commit held changes.
    pub fn reply(&mut self, reply: &Reply, who: CharacterId, stored: bool) {
        let text = self.catalogue.render(&reply.text, "en");
        assert!(self.voice.is_ours(&text), "not in the server's voice: {text}");
        assert!(!text.contains("\u{1b}"), "an escape came through: {text:?}");
        self.outcome(&reply.origin, reply.ok, text, Some(who), stored);
    }

    fn outcome(&mut self, origin: &Origin, ok: bool, text: String, who: Option<CharacterId>, stored: bool) {
        if let Some(first) = self.outcomes.get(origin) {
            assert_eq!(*first, (ok, text), "two outcomes of {origin:?}");
            return;
        }
        if let Some(who) = who {
            self.believe(who, &text);
        }
        // What was only read may be read anew by another owner.
        if stored {
            self.outcomes.insert(origin.clone(), (ok, text));
        }
    }

    fn believe(&mut self, who: CharacterId, text: &str) {
        let all = self.believed.entry(who).or_default();
        let name = |text: &str, before: &str| {
            text.strip_prefix(before).and_then(|rest| rest.strip_suffix('.')).map(str::to_owned)
        };
        if let Some(name) = name(text, "You have muted ").filter(|name| !name.contains(' ')) {
            all.insert(name);
        }
        if let Some(name) = name(text, "You have unmuted ") {
            all.remove(&name);
        }
        if let Some((name, _)) =
            name(text, "You have muted ").as_deref().and_then(|rest| rest.split_once(" for "))
        {
            // The mute has an end now.
            all.remove(name);
        }
    }
}
