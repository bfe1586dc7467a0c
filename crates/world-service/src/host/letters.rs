//! Letters to other zones: those of this process have them at once, and every zone has them for certain once it has
//! answered. Until then they are part of this zone's state, and its next owner brings them again.

use std::sync::Arc;

use futures_util::FutureExt as _;
use tidings_protocol::ZoneId;
use tidings_world::input::Letter;

use super::config::LETTERS_MAX;
use super::late;
use super::zone::OwnedZone;

impl OwnedZone {
    /// A letter was committed.
    pub(super) fn posted(&mut self, to: &ZoneId, letter: Letter) {
        self.shared.hub.post(&self.id, to, letter);
    }

    /// A letter was let go: too many wait.
    pub(super) fn not_posted(&self, to: &ZoneId) {
        self.figures.not_posted();
        tracing::error!(zone = %self.id, %to, "too much waits for other zones; a letter was let go");
    }

    /// Brings what waits, to each zone one request at a time: so they come in order.
    pub(super) fn bring_letters(&mut self) {
        self.figures.letters.set(self.rules.letters_waiting() as f64);
        if self.rules.letters_waiting() == 0 {
            return;
        }
        for to in self.rules.waiting_for_letters() {
            if !self.posting.insert(to.clone()) {
                continue;
            }
            let letters = self.rules.letters_to(&to, LETTERS_MAX);
            let (shared, from) = (Arc::clone(&self.shared), self.id.clone());
            self.under_way.push(async move { late::post(&shared, from, to, letters).await }.boxed());
        }
    }
}
