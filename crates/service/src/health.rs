//! What a process depends on, by name: whether each answers, why not, and since when. `/ready` shows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The dependencies of a process. Cheap to clone; all clones see the same.
#[derive(Clone, Default)]
pub struct Health {
    dependencies: Arc<Mutex<BTreeMap<String, DependencyState>>>,
}

/// One dependency as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyState {
    /// Whether it answers.
    pub ready: bool,
    /// Why it does not; empty where it does.
    pub reason: String,
    /// Since when it is so.
    pub since: SystemTime,
}

/// The side of a dependency that reports: whoever holds it says how things are.
#[derive(Clone)]
pub struct Dependency {
    health: Health,
    name: String,
}

impl Health {
    /// Nothing depended on yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// A dependency, not ready until it says so.
    pub fn dependency(&self, name: impl Into<String>) -> Dependency {
        let dependency = Dependency { health: self.clone(), name: name.into() };
        dependency.failed("starting");
        dependency
    }

    /// Whether everything answers.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(|state| state.ready)
    }

    /// Every dependency, by name.
    pub fn states(&self) -> Vec<(String, DependencyState)> {
        self.lock().iter().map(|(name, state)| (name.clone(), state.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, DependencyState>> {
        self.dependencies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dependency {
    /// It answers.
    pub fn ready(&self) {
        self.set(true, "");
    }

    /// It does not, for this reason.
    pub fn failed(&self, reason: impl Into<String>) {
        self.set(false, &reason.into());
    }

    /// It is not depended on any more.
    pub fn remove(&self) {
        self.health.lock().remove(&self.name);
    }

    fn set(&self, ready: bool, reason: &str) {
        let mut dependencies = self.health.lock();
        let since = match dependencies.get(&self.name) {
            Some(known) if known.ready == ready => known.since,
            _ => SystemTime::now(),
        };
        let state = DependencyState { ready, reason: reason.to_owned(), since };
        dependencies.insert(self.name.clone(), state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_everything_is() {
        let health = Health::new();
        assert!(health.is_ready());
        let bus = health.dependency("bus");
        let store = health.dependency("storage");
        bus.ready();
        assert!(!health.is_ready(), "the storage has not said a word");
        store.ready();
        assert!(health.is_ready());
        store.failed("disk full");
        let since = health.states()[1].1.since;
        store.failed("disk still full");
        let (name, state) = &health.states()[1];
        assert_eq!((name.as_str(), state.reason.as_str()), ("storage", "disk still full"));
        assert_eq!(state.since, since, "another reason is not another time");
        store.remove();
        assert!(health.is_ready());
    }
}
