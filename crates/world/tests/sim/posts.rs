//! What zones send each other: moves and letters, lost, repeated and late, and what a source does without an answer.

use tidings_protocol::ZoneId;
use tidings_world::input::{Fact, Handover, Input, Traveller};

use super::Sim;

/// Something on its way to a zone.
pub(super) enum Post {
    Arrive(ZoneId, Box<Traveller>),
    Arrived(ZoneId, String, ZoneId),
    Refused(ZoneId, String),
    Letter(ZoneId, Fact),
}

impl Sim {
    pub(super) fn deliver(&mut self) {
        for _ in 0..self.posts.len() {
            let Some(post) = self.posts.pop_front() else { return };
            match post {
                // Lost on the way: a move is asked for again by the timer, a letter is brought again.
                _ if self.chance(6) => {}
                Post::Letter(zone, fact) => self.input(&zone, Input::Fact(fact)),
                Post::Arrive(zone, traveller) => {
                    if self.chance(6) {
                        self.posts.push_back(Post::Arrive(zone.clone(), traveller.clone()));
                    }
                    self.arrive(&zone, *traveller);
                }
                Post::Arrived(zone, move_id, to) => {
                    self.input(&zone, Input::Handover(Handover::Arrived { move_id, zone: to }));
                }
                Post::Refused(zone, move_id) => {
                    self.input(&zone, Input::Handover(Handover::Refused { move_id }))
                }
            }
        }
    }

    /// Each zone's letters, as far as nothing is lost: the letters, or the word that they came.
    pub(super) fn bring_letters(&mut self) {
        let pairs: Vec<(ZoneId, ZoneId)> = self
            .zones
            .iter()
            .flat_map(|(from, hosted)| {
                hosted.zone.waiting_for_letters().into_iter().map(|to| (from.clone(), to))
            })
            .collect();
        for (from, to) in pairs {
            let letters = self.zones[&from].zone.letters_to(&to, 3);
            let Some(last) = letters.last().map(|letter| letter.number) else { continue };
            if self.chance(6) {
                continue;
            }
            let deaths = self.totals.deaths;
            self.input(&to, Input::Fact(Fact::Letters(from.clone(), letters)));
            // A zone that died in between has answered nobody.
            if self.totals.deaths == deaths && !self.chance(6) {
                self.totals.letters += 1;
                self.input(&from, Input::Fact(Fact::Delivered(to, last)));
            }
        }
    }

    /// A target that is away: what its log does not have by now, no request can make happen any more.
    pub(super) fn asks_the_log(&mut self) {
        let moves: Vec<(ZoneId, String)> = self
            .posts
            .iter()
            .filter_map(|post| match post {
                Post::Arrive(to, traveller) => Some((to.clone(), traveller.as_ref())),
                _ => None,
            })
            .filter(|(to, traveller)| !self.zones[to].zone.knows_move(&traveller.move_id))
            .map(|(_, traveller)| (traveller.from.zone(), traveller.move_id.clone()))
            .collect();
        for (from, move_id) in moves {
            self.posts.retain(|post| !matches!(post, Post::Arrive(_, t) if t.move_id == move_id));
            self.totals.unanswered += 1;
            let deaths = self.totals.deaths;
            self.input(&from, Input::Handover(Handover::Unanswered { move_id: move_id.clone() }));
            if self.totals.deaths != deaths {
                // The source died; whatever it asks now, it asks anew.
                return;
            }
        }
    }

    fn arrive(&mut self, zone: &ZoneId, traveller: Traveller) {
        let (from, move_id) = (traveller.from.zone(), traveller.move_id.clone());
        self.totals.moves += u64::from(!self.zones[zone].zone.knows_move(&move_id));
        // Also when it is known: the rules let nobody in twice.
        self.input(zone, Input::Handover(Handover::Arrive(traveller)));
        if self.zones[zone].zone.knows_move(&move_id) {
            self.posts.push_back(Post::Arrived(from, move_id, zone.clone()));
        }
    }
}
