//! Connections that are not WebSockets yet, bounded in all and by address.
//!
//! Whoever connects and says nothing holds a place here until the header deadline. When a bound is reached, the
//! oldest silent connections give way to the new one, so that a thousand silent ones keep nobody out; one that is
//! being answered never gives way. Five thousand clients that come back at once are silent too, for a moment: the
//! bound of an address waits for a second, the bound in all does not.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::AddressKey;

/// Not-yet-upgraded connections in all: 40 MB at hyper's 8 KiB buffers and some.
const TOTAL_MAX: usize = 4096;
/// Not-yet-upgraded connections of one address: a school behind one address opens its pages at once, and a flood
/// from one address takes an eighth of the places.
const PER_ADDRESS_MAX: usize = 512;

/// How long a connection may be silent before the bound of its address concerns it.
const SILENCE_ALLOWED: Duration = Duration::from_secs(1);

/// Bounds on connections that are not WebSockets yet. 0 turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingLimits {
    /// In all.
    pub total: usize,
    /// Of one address (IPv6: one /64). Not applied to trusted proxies.
    pub per_address: usize,
}

impl Default for PendingLimits {
    fn default() -> Self {
        Self { total: TOTAL_MAX, per_address: PER_ADDRESS_MAX }
    }
}

/// The connections, by age.
pub struct Pending {
    limits: PendingLimits,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    all: HashMap<u64, Place>,
    silent: BTreeSet<u64>,
    by_address: HashMap<AddressKey, Address>,
}

struct Place {
    address: Option<AddressKey>,
    since: Instant,
    close: CancellationToken,
}

#[derive(Default)]
struct Address {
    count: usize,
    silent: BTreeSet<u64>,
}

/// A connection's place; given back when it is dropped.
pub struct Entry {
    pending: Arc<Pending>,
    id: u64,
    close: CancellationToken,
}

impl Pending {
    /// No connection yet.
    pub fn new(limits: PendingLimits) -> Self {
        Self { limits, table: Mutex::default() }
    }

    /// A place for a connection of `address` (`None`: not counted by address). Older silent ones may give way;
    /// `None` when nobody can.
    pub fn enter(self: &Arc<Self>, address: Option<IpAddr>, now: Instant) -> Option<Entry> {
        let PendingLimits { total, per_address } = self.limits;
        let key = address.map(AddressKey::of);
        let mut table = self.table.lock();
        if let Some(key) = key.filter(|_| per_address != 0) {
            table.thin_out(key, per_address, now);
        }
        if total != 0 && table.all.len() >= total {
            let oldest = table.silent.first().copied();
            table.give_way(oldest, "total")?;
        }
        let id = table.next;
        table.next += 1;
        let close = CancellationToken::new();
        table.all.insert(id, Place { address: key, since: now, close: close.clone() });
        table.silent.insert(id);
        if let Some(key) = key {
            let known = table.by_address.entry(key).or_default();
            known.count += 1;
            known.silent.insert(id);
        }
        gauge!("tidings_edge_http_connections").set(table.all.len() as f64);
        drop(table);
        Some(Entry { pending: Arc::clone(self), id, close })
    }

    /// The oldest silent connection gives way to nobody: when the process is out of file descriptors.
    pub fn shed_one(&self) {
        let mut table = self.table.lock();
        let oldest = table.silent.first().copied();
        let _ = table.give_way(oldest, "descriptors");
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table.lock().all.len()
    }
}

impl Table {
    /// Ends an address's oldest silent connections until there is room for one more, or those left are young.
    fn thin_out(&mut self, key: AddressKey, most: usize, now: Instant) {
        while let Some(known) = self.by_address.get(&key).filter(|known| known.count >= most) {
            let oldest = known.silent.first().copied();
            let since = oldest.and_then(|id| self.all.get(&id)).map(|place| place.since);
            if since.is_none_or(|since| now.saturating_duration_since(since) < SILENCE_ALLOWED) {
                return;
            }
            let _ = self.give_way(oldest, "address");
        }
    }

    fn give_way(&mut self, oldest: Option<u64>, bound: &'static str) -> Option<()> {
        let outcome = if oldest.is_some() { "oldest_closed" } else { "refused" };
        counter!("tidings_edge_http_connections_shed_total", "bound" => bound, "outcome" => outcome)
            .increment(1);
        let place = self.remove(oldest?)?;
        place.close.cancel();
        Some(())
    }

    fn remove(&mut self, id: u64) -> Option<Place> {
        let place = self.all.remove(&id)?;
        self.silent.remove(&id);
        if let Some(key) = place.address
            && let Some(known) = self.by_address.get_mut(&key)
        {
            known.count -= 1;
            known.silent.remove(&id);
            if known.count == 0 {
                self.by_address.remove(&key);
            }
        }
        Some(place)
    }

    fn set_silent(&mut self, id: u64, silent: bool) {
        let Some(place) = self.all.get(&id) else { return };
        let of_address =
            place.address.and_then(|key| self.by_address.get_mut(&key)).map(|known| &mut known.silent);
        for set in std::iter::once(&mut self.silent).chain(of_address) {
            if silent {
                set.insert(id);
            } else {
                set.remove(&id);
            }
        }
    }
}

impl Entry {
    /// A request has come and is being answered: this connection does not give way.
    pub fn busy(&self) {
        self.pending.table.lock().set_silent(self.id, false);
    }

    /// The answer is made: waiting for the next request.
    pub fn silent(&self) {
        self.pending.table.lock().set_silent(self.id, true);
    }

    /// Cancelled when this connection has to give way.
    pub fn gives_way(&self) -> &CancellationToken {
        &self.close
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.pending.table.lock();
        table.remove(self.id);
        gauge!("tidings_edge_http_connections").set(table.all.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(total: usize, per_address: usize) -> Arc<Pending> {
        Arc::new(Pending::new(PendingLimits { total, per_address }))
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn the_oldest_silent_ones_of_an_address_give_way() {
        let (pending, start) = (pending(100, 2), Instant::now());
        let enter = |address, after| {
            pending.enter(from(address), start + Duration::from_millis(after)).expect("a place")
        };
        let other = enter("192.0.2.9", 0);
        let first = enter("192.0.2.1", 0);
        first.busy();
        let second = enter("192.0.2.1", 1);
        let third = enter("192.0.2.1", 2);
        assert!(!second.gives_way().is_cancelled(), "for a moment there may be more");
        let fourth = enter("192.0.2.1", 1100);
        assert!(second.gives_way().is_cancelled() && third.gives_way().is_cancelled());
        assert!(![&other, &first, &fourth].iter().any(|entry| entry.gives_way().is_cancelled()));
        drop((second, third));
        assert_eq!(pending.len(), 3);
    }

    #[test]
    fn where_all_are_being_answered_the_new_one_is_refused() {
        let (pending, now) = (pending(2, 0), Instant::now());
        let entries = [0, 1].map(|_| pending.enter(None, now).expect("a place"));
        for entry in &entries {
            entry.busy();
        }
        assert!(pending.enter(None, now).is_none());
        entries[1].silent();
        let new = pending.enter(None, now).expect("a place");
        assert!(entries[1].gives_way().is_cancelled());
        drop((entries, new));
        assert_eq!((pending.len(), pending.table.lock().by_address.len()), (0, 0));
        assert!(pending.table.lock().silent.is_empty());
    }
}
