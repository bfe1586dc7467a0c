//! Letters from zone to zone: what one decides that another has to know or do. A letter is part of the commit that
//! decided it and of the state from then on, put out again by every owner until the other zone has it. The other
//! zone takes the letters of a zone in their order, each once: it remembers the last one's number.

use tidings_protocol::{Text, ZoneId};

use crate::effect::Change;
use crate::input::{Fact, Letter};
use crate::limits::{OUTBOX_FULL, OUTBOX_MAX};
use crate::output::Output;
use crate::remote;
use crate::text::t;
use crate::turn::Turn;
use crate::zone::Zone;

/// Whether a command may post letters; asked before it does anything.
pub(crate) fn has_room(turn: &Turn<'_>) -> Result<(), Text> {
    if turn.zone.state.outbox.len() < OUTBOX_MAX { Ok(()) } else { Err(t("refuse.far")) }
}

/// Posts a letter to another zone.
pub(crate) fn post(turn: &mut Turn<'_>, to: &ZoneId, fact: Fact) {
    let state = &turn.zone.state;
    if state.outbox.len() >= OUTBOX_FULL {
        return turn.out.push(Output::NotPosted(to.clone()));
    }
    // Not below the clock either: a zone whose last records were lost must not give a number out again.
    let number = u64::try_from(turn.now).unwrap_or(0).max(state.posted + 1);
    let after = turn.zone.letters(to).next_back().map_or(0, |(number, _)| number);
    turn.apply(Change::Posted(number, to.clone(), Box::new(fact.clone())));
    turn.out.push(Output::Post(to.clone(), Letter { number, after, fact }));
}

/// Tells every other zone.
pub(crate) fn post_to_all(turn: &mut Turn<'_>, fact: &Fact) {
    let others = turn.zone.content.zones.keys().filter(|zone| **zone != turn.zone.id);
    for zone in others.cloned().collect::<Vec<_>>() {
        post(turn, &zone, fact.clone());
    }
}

/// Letters of another zone have come.
pub(crate) fn come(turn: &mut Turn<'_>, from: &ZoneId, letters: Vec<Letter>) {
    for Letter { number, after, fact } in letters {
        let heard = turn.zone.state.heard.get(from).copied().unwrap_or(0);
        // Had it already; or one before it has not come, and both come again.
        if number <= heard || after > heard {
            continue;
        }
        turn.apply(Change::Heard(from.clone(), number));
        remote::fact(turn, fact);
    }
}

/// Another zone has this one's letters up to a number.
pub(crate) fn delivered(turn: &mut Turn<'_>, to: &ZoneId, number: u64) {
    if turn.zone.letters(to).next().is_some_and(|(first, _)| first <= number) {
        turn.apply(Change::Delivered(to.clone(), number));
    }
}

/// After a restore: what nobody is known to have is put out again; what is for a zone that is no more is let go.
pub(crate) fn wake(turn: &mut Turn<'_>) {
    let zones = &turn.zone.content.zones;
    let gone =
        |(number, (to, _)): (&u64, &(ZoneId, Fact))| (!zones.contains_key(to)).then(|| (to.clone(), *number));
    let gone: Vec<_> = turn.zone.state.outbox.iter().filter_map(gone).collect();
    for (to, number) in gone {
        delivered(turn, &to, number);
    }
    for to in turn.zone.waiting_for_letters() {
        let letters = turn.zone.letters_to(&to, usize::MAX);
        turn.out.extend(letters.into_iter().map(|letter| Output::Post(to.clone(), letter)));
    }
}

impl Zone {
    /// The zones that this one's letters wait for.
    pub fn waiting_for_letters(&self) -> Vec<ZoneId> {
        let mut zones: Vec<ZoneId> = self.state.outbox.values().map(|(to, _)| to.clone()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    /// How many letters wait for other zones.
    pub fn letters_waiting(&self) -> usize {
        self.state.outbox.len()
    }

    /// The oldest letters that wait for a zone, in order.
    pub fn letters_to(&self, to: &ZoneId, max: usize) -> Vec<Letter> {
        let mut after = 0;
        let letter = |(number, fact): (u64, &Fact)| Letter {
            number,
            after: std::mem::replace(&mut after, number),
            fact: fact.clone(),
        };
        self.letters(to).take(max).map(letter).collect()
    }

    fn letters<'a>(&'a self, to: &'a ZoneId) -> impl DoubleEndedIterator<Item = (u64, &'a Fact)> {
        let theirs = self.state.outbox.iter().filter(move |(_, (zone, _))| zone == to);
        theirs.map(|(number, (_, fact))| (*number, fact))
    }
}
