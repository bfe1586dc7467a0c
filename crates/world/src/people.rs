//! The people of a zone: found at once by id, gone through in the order of their ids.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::HashMap;
use serde::{Deserialize, Serialize, Serializer};
use tidings_protocol::CharacterId;

use crate::state::Person;

/// The people of a zone. A line looks its speaker up a dozen times, and a tree of a thousand is ten steps deep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<CharacterId, Box<Person>>")]
pub(crate) struct People {
    by_id: HashMap<CharacterId, Box<Person>>,
    /// What decides must not go by the order of a hash.
    order: BTreeSet<CharacterId>,
}

impl People {
    pub(crate) fn get(&self, id: &CharacterId) -> Option<&Person> {
        self.by_id.get(id).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, id: &CharacterId) -> Option<&mut Person> {
        self.by_id.get_mut(id).map(Box::as_mut)
    }

    pub(crate) fn insert(&mut self, person: Box<Person>) {
        self.order.insert(person.id);
        self.by_id.insert(person.id, person);
    }

    pub(crate) fn remove(&mut self, id: &CharacterId) -> Option<Box<Person>> {
        self.order.remove(id);
        self.by_id.remove(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Their ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = CharacterId> + '_ {
        self.order.iter().copied()
    }

    /// All of them, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Person> {
        self.order.iter().filter_map(|id| self.get(id))
    }
}

impl From<BTreeMap<CharacterId, Box<Person>>> for People {
    fn from(all: BTreeMap<CharacterId, Box<Person>>) -> Self {
        let mut people = Self::default();
        all.into_values().for_each(|person| people.insert(person));
        people
    }
}

impl Serialize for People {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|person| (person.id, person)))
    }
}
