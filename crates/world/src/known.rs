//! What a zone merely knows: who is online in the whole world, and the answers it waits for. It is no state: it
//! is not logged, and is told again to a new owner.

use std::collections::{BTreeMap, HashMap};

use tidings_protocol::CharacterId;

use crate::input::{Origin, Present};

/// Who is online, by id and by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    present: BTreeMap<CharacterId, Present>,
    by_name: HashMap<String, CharacterId>,
    /// Commands that wait for an answer, by its number.
    pub waiting: BTreeMap<u64, Waiting>,
    /// The host drains.
    pub draining: bool,
}

/// A command that waits for an answer.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub origin: Origin,
    pub character: CharacterId,
    pub line: String,
}

impl Known {
    pub(crate) fn put(&mut self, present: Present) {
        self.remove(present.id);
        self.by_name.insert(present.name.to_lowercase(), present.id);
        self.present.insert(present.id, present);
    }

    pub(crate) fn remove(&mut self, id: CharacterId) {
        if let Some(old) = self.present.remove(&id) {
            let name = old.name.to_lowercase();
            if self.by_name.get(&name) == Some(&id) {
                self.by_name.remove(&name);
            }
        }
    }

    pub(crate) fn by_id(&self, id: CharacterId) -> Option<&Present> {
        self.present.get(&id)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Present> {
        self.present.get(self.by_name.get(&name.to_lowercase())?)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Present> {
        self.present.values()
    }
}
