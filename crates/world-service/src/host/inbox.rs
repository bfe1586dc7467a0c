//! What the zones of a process tell each other: who is where, and facts. A fact waits in the inbox of every other
//! zone before the reply that made it true is sent, and a zone reads its inbox after it took its requests: so a
//! command sent after that reply is decided knowing the fact.
//!
//! Bounded by what the facts are about: a later fact of the same thing replaces the one that waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tidings_protocol::{CharacterId, ZoneId};
use tidings_world::input::{Fact, Letter, Present};
use tokio::sync::Notify;

/// What a fact is about.
#[derive(PartialEq, Eq, Hash)]
enum About {
    Where(CharacterId),
    Answer(u64),
    Letters(ZoneId, u64),
    Other(String),
}

fn about(fact: &Fact) -> About {
    match fact {
        Fact::Present(present) => About::Where(present.id),
        Fact::Absent(id) => About::Where(*id),
        Fact::Answer(number, _) => About::Answer(*number),
        Fact::Letters(from, letters) => {
            About::Letters(from.clone(), letters.first().map_or(0, |letter| letter.number))
        }
        #[allow(unreachable_patterns)] // what the rules add later is kept apart by its form
        other => About::Other(serde_json::to_string(other).unwrap_or_default()),
    }
}

#[derive(Default)]
struct Waiting {
    facts: Vec<Option<Fact>>,
    at: HashMap<About, usize>,
}

impl Waiting {
    /// Takes out the places of facts that were replaced, once they are most of all.
    fn close_up(&mut self) {
        if self.facts.len() < PLACES_KEPT || self.facts.len() < 2 * self.at.len() {
            return;
        }
        self.facts.retain(Option::is_some);
        self.at = self.facts.iter().flatten().map(about).zip(0..).collect();
    }
}

/// Places of facts below which replaced ones may stay: closing up is not worth it.
const PLACES_KEPT: usize = 64;

/// The facts that wait for one zone.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

impl Inbox {
    /// Adds a fact; it takes the place of the last one about the same.
    pub fn put(&self, fact: Fact) {
        let mut waiting = self.waiting.lock();
        let next = waiting.facts.len();
        if let Some(earlier) = waiting.at.insert(about(&fact), next) {
            waiting.facts[earlier] = None;
        }
        waiting.facts.push(Some(fact));
        waiting.close_up();
        drop(waiting);
        self.wake.notify_one();
    }

    /// Everything that waits, in order.
    pub fn take(&self) -> Vec<Fact> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.facts.into_iter().flatten().collect()
    }

    /// Returns once there is something; cancel safe.
    pub async fn filled(&self) {
        loop {
            let notified = self.wake.notified();
            if !self.waiting.lock().facts.is_empty() {
                return;
            }
            notified.await;
        }
    }
}

/// The zones of this process, and who is where in the whole world.
#[derive(Default)]
pub struct Hub {
    zones: Mutex<BTreeMap<ZoneId, Arc<Inbox>>>,
    present: Mutex<BTreeMap<CharacterId, Present>>,
}

impl Hub {
    /// A zone is owned here from now on: its inbox, holding who is in the other zones.
    pub fn open(&self, zone: &ZoneId) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        // Both locks, in this order everywhere: nothing falls between what is copied and what is told.
        let mut zones = self.zones.lock();
        for present in self.present.lock().values().filter(|present| present.zone != *zone) {
            inbox.put(Fact::Present(present.clone()));
        }
        zones.insert(zone.clone(), Arc::clone(&inbox));
        inbox
    }

    /// The zone is not owned here any more.
    pub fn close(&self, zone: &ZoneId, inbox: &Arc<Inbox>) {
        let mut zones = self.zones.lock();
        if zones.get(zone).is_some_and(|open| Arc::ptr_eq(open, inbox)) {
            zones.remove(zone);
        }
    }

    /// Whether the zone is owned here.
    pub fn is_open(&self, zone: &ZoneId) -> bool {
        self.zones.lock().contains_key(zone)
    }

    /// Tells every zone here but `by`.
    pub fn tell(&self, by: Option<&ZoneId>, fact: &Fact) {
        let zones = self.zones.lock();
        match fact {
            Fact::Present(present) => drop(self.present.lock().insert(present.id, present.clone())),
            Fact::Absent(id) => {
                let mut known = self.present.lock();
                // A zone's word that somebody left counts only while nobody else said it has come.
                if by.is_some() && known.get(id).is_some_and(|present| Some(&present.zone) != by) {
                    return;
                }
                known.remove(id);
            }
            _ => {}
        }
        for inbox in zones.iter().filter(|(zone, _)| Some(*zone) != by).map(|(_, inbox)| inbox) {
            inbox.put(fact.clone());
        }
    }

    /// Gives a zone a letter of another at once, where it is owned here: whoever asks it next finds that it has it.
    pub fn post(&self, by: &ZoneId, to: &ZoneId, letter: Letter) {
        if let Some(inbox) = self.zones.lock().get(to) {
            inbox.put(Fact::Letters(by.clone(), vec![letter]));
        }
    }

    /// Where a character is, if it is in the world.
    pub fn find(&self, character: CharacterId) -> Option<Present> {
        self.present.lock().get(&character).cloned()
    }
}

#[cfg(test)]
mod tests {
    use tidings_world::input::Answer;

    use super::*;

    fn answer(number: u64, done: bool) -> Fact {
        Fact::Answer(number, Answer::Done(done))
    }

    #[test]
    fn a_later_fact_takes_the_place_of_an_earlier_one() {
        let inbox = Inbox::default();
        inbox.put(answer(1, true));
        inbox.put(answer(2, true));
        inbox.put(answer(1, false));
        assert_eq!(inbox.take(), vec![answer(2, true), answer(1, false)]);
        assert_eq!(inbox.take(), vec![]);
        for n in 0..100_000 {
            inbox.put(answer(n % 50, true));
            assert!(inbox.waiting.lock().facts.len() <= 2 * 50, "bounded by what they are about");
        }
        let last: Vec<_> = (0..50).map(|n| answer(n, true)).collect();
        assert_eq!(inbox.take(), last, "each once, in order");
    }

    #[test]
    fn every_other_zone_is_told() {
        let hub = Hub::default();
        let (a, b): (ZoneId, ZoneId) = ("a".parse().expect("a zone"), "b".parse().expect("a zone"));
        let (in_a, in_b) = (hub.open(&a), hub.open(&b));
        hub.tell(Some(&a), &answer(1, true));
        assert_eq!((in_a.take(), in_b.take()), (vec![], vec![answer(1, true)]));
        hub.close(&b, &in_b);
        assert!(hub.is_open(&a) && !hub.is_open(&b));
    }
}
