//! What the players of the simulation do: type, repeat themselves, come and go.

use rand::RngExt as _;
use tidings_protocol::RoomId;
use tidings_world::input::{Ask, Command, Input, Origin};

use super::{Sim, origin};
use crate::common;
use crate::lines;

impl Sim {
    pub(super) fn types(&mut self, player: usize) {
        let line = lines::line(&mut self.rng);
        self.numbers += 1;
        let key = origin(self.players[player].session, &format!("c{}", self.numbers));
        let said = &mut self.players[player].said;
        if said.len() > 2 {
            said.remove(0);
        }
        said.push((key.clone(), line.clone()));
        self.command(player, key, line);
    }

    pub(super) fn repeats(&mut self, player: usize) {
        let count = self.players[player].said.len();
        if count > 0 {
            let at = self.rng.random_range(0..count);
            let (key, line) = self.players[player].said[at].clone();
            self.totals.repeats += 1;
            self.command(player, key, line);
        }
    }

    pub(super) fn command(&mut self, player: usize, key: Origin, line: String) {
        let id = self.players[player].id;
        match self.zone_of(id) {
            Some(zone) => self
                .input(&zone, Input::Command(Command { origin: key, character: id, ask: Ask::Line(line) })),
            None if self.zones.values().any(|hosted| hosted.zone.is_moving(id)) => {}
            None => self.enters(player),
        }
    }

    pub(super) fn link(&mut self, player: usize, ask: Ask) {
        let (id, session) = (self.players[player].id, self.players[player].session);
        if let Some(zone) = self.zone_of(id) {
            self.input(&zone, Input::Command(Command { origin: origin(session, ""), character: id, ask }));
        }
    }

    pub(super) fn enters(&mut self, player: usize) {
        let (id, account) = (self.players[player].id, self.players[player].account);
        if self.zones.values().any(|hosted| hosted.zone.is_moving(id)) {
            return;
        }
        self.numbers += 1;
        let session = common::session(self.numbers);
        self.players[player].session = session;
        self.players[player].said.clear();
        let (room, state) =
            self.rooms.get(&id).cloned().map_or((None, String::new()), |(room, state)| (Some(room), state));
        let zone =
            self.zone_of(id).unwrap_or_else(|| room.as_ref().map_or(common::zone_id("town"), RoomId::zone));
        let mutes = self.mutes.iter().filter(|mute| mute.account == account).cloned().collect();
        let arrival = tidings_world::input::Arrival {
            id,
            account,
            room,
            state,
            mutes,
            ..common::arrival(0, self.players[player].name, self.players[player].role)
        };
        let ask = Ask::Enter(Box::new(arrival));
        self.input(&zone, Input::Command(Command { origin: origin(session, ""), character: id, ask }));
    }
}
