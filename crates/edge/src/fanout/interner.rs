//! Audiences as small numbers, the same in every thread of the process.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidings_protocol::Audience;

/// An audience's number in this process; never reused.
pub type AudienceId = u32;

/// An audience with its number.
#[derive(Debug, PartialEq, Eq)]
pub struct AudienceInfo {
    /// The number.
    pub id: AudienceId,
    /// The audience.
    pub audience: Audience,
}

impl AudienceInfo {
    /// Whether its border is in its log: `entered` and `left` records bound what is heard.
    pub fn is_room(&self) -> bool {
        matches!(self.audience, Audience::Room(_))
    }
}

/// Gives the numbers.
#[derive(Debug, Default)]
pub struct Interner {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    next: AudienceId,
    by_name: HashMap<Audience, Arc<AudienceInfo>>,
}

impl Interner {
    /// The audience with its number.
    pub fn intern(&self, audience: &Audience) -> Arc<AudienceInfo> {
        let mut known = self.known.lock();
        if let Some(info) = known.by_name.get(audience) {
            return Arc::clone(info);
        }
        known.next += 1;
        let info = Arc::new(AudienceInfo { id: known.next, audience: audience.clone() });
        known.by_name.insert(audience.clone(), Arc::clone(&info));
        info
    }

    /// Forgets those that nobody holds. Called when audiences are closed.
    pub fn sweep(&self) {
        self.known.lock().by_name.retain(|_, info| Arc::strong_count(info) > 1);
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.lock().by_name.len()
    }
}
