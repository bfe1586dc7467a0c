//! What this process knows of all sessions, kept by watching the bucket: whose they are and at which edge. Only a
//! hint of where to look: what is done to a session is decided on its record.

use std::collections::{HashMap, HashSet};

use tidings_protocol::proto::services::v1::SessionRecord;

/// What is known of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) character: String,
    pub(super) session: String,
    pub(super) account: String,
    pub(super) edge: String,
    pub(super) generation: u64,
    pub(super) lost_ms: i64,
    pub(super) revoked: bool,
    pub(super) closed: bool,
    /// Lost because its edge fell silent.
    pub(super) lapsed: bool,
}

impl From<&SessionRecord> for Known {
    fn from(record: &SessionRecord) -> Self {
        Self {
            character: record.character.clone(),
            session: record.session.clone(),
            account: record.account.clone(),
            edge: record.edge.clone(),
            generation: record.generation,
            lost_ms: record.lost_ms,
            revoked: record.revoked,
            closed: record.closed_ms != 0,
            lapsed: record.lapsed,
        }
    }
}

/// All of them. Bounded by the bucket.
#[derive(Default)]
pub(super) struct Index {
    by_character: HashMap<String, Known>,
    by_session: HashMap<String, String>,
    /// Sessions whose zone was told that their edge died.
    told: HashSet<String>,
    /// Lost sessions that their edge renews.
    reviving: HashSet<String>,
    /// Sessions whose zone may have heard last what is not so.
    owed: HashMap<String, Known>,
    /// Sessions of which their zone is being told.
    telling: HashSet<String>,
    /// Whether everything there was has been seen.
    whole: bool,
}

impl Index {
    pub(super) fn put(&mut self, record: &SessionRecord) {
        let known = Known::from(record);
        // The watcher may tell what this process has already gone beyond.
        let newer = |there: &Known| there.session == known.session && there.generation > known.generation;
        if self.by_character.get(&known.character).is_some_and(newer) {
            return;
        }
        self.remove(&known.character);
        if known.lost_ms == 0 {
            self.told.remove(&known.session);
        }
        self.by_session.insert(known.session.clone(), known.character.clone());
        self.by_character.insert(known.character.clone(), known);
    }

    pub(super) fn remove(&mut self, character: &str) {
        if let Some(known) = self.by_character.remove(character)
            && self.by_session.get(&known.session).is_some_and(|of| of == character)
        {
            self.by_session.remove(&known.session);
        }
    }

    pub(super) fn clear(&mut self) {
        self.whole = false;
        self.by_character.clear();
        self.by_session.clear();
    }

    pub(super) fn current(&mut self) {
        self.whole = true;
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn session(&self, session: &str) -> Option<&Known> {
        self.by_character.get(self.by_session.get(session)?)
    }

    pub(super) fn of_character(&self, character: &str) -> Option<&Known> {
        self.by_character.get(character)
    }

    pub(super) fn of_account<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Known> {
        self.by_character.values().filter(move |known| known.account == account)
    }

    /// Those in the world whose zone was not told yet, by edge.
    pub(super) fn untold(&self) -> HashMap<String, Vec<Known>> {
        let mut by_edge: HashMap<String, Vec<Known>> = HashMap::new();
        for known in self.by_character.values() {
            if !known.closed && !self.told.contains(&known.session) {
                by_edge.entry(known.edge.clone()).or_default().push(known.clone());
            }
        }
        by_edge
    }

    /// Notes that the zone is told; whether it was not before.
    pub(super) fn tell(&mut self, session: &str) -> bool {
        self.told.insert(session.to_owned())
    }

    /// It could not be told.
    pub(super) fn untell(&mut self, session: &str) {
        self.told.remove(session);
    }

    /// Its edge renews a session that is lost.
    pub(super) fn revives(&mut self, session: &str) {
        self.reviving.insert(session.to_owned());
    }

    pub(super) fn has_reviving(&self) -> bool {
        !self.reviving.is_empty()
    }

    /// Those, once each.
    pub(super) fn take_reviving(&mut self) -> Vec<Known> {
        let sessions = std::mem::take(&mut self.reviving);
        sessions.iter().filter_map(|session| self.session(session).cloned()).collect()
    }

    /// Its zone has to be told how it is.
    pub(super) fn owe(&mut self, known: Known) {
        self.owed.insert(known.session.clone(), known);
    }

    /// Those, once each.
    pub(super) fn take_owed(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.owed).into_values().collect()
    }

    /// Whether nobody else tells its zone of it.
    pub(super) fn begin_telling(&mut self, session: &str) -> bool {
        self.telling.insert(session.to_owned())
    }

    /// Another may.
    pub(super) fn end_telling(&mut self, session: &str) {
        self.telling.remove(session);
    }

    /// Forgets who was told of what is no more.
    pub(super) fn tidy(&mut self) {
        let Self { told, by_session, whole, .. } = self;
        // While they come anew, what is not here is not gone.
        if *whole {
            told.retain(|session| by_session.contains_key(session));
        }
    }
}
