//! Mutes that zones committed and that storage may not have yet.
//!
//! A mute holds from its confirmation on. Who enters the world is told the mutes of its account by storage, and so is each
//! edge that has it, but a zone's writer brings them there a moment later, or much later where storage takes no writes: what
//! waits for the writers is laid over what storage says. One a process, since one process has all zones and the services.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidings_protocol::AccountId;
use tidings_protocol::proto::world::v1::MuteList;
use tidings_storage::{MuteMark, Record, Stamp};

use crate::convert;

/// Accounts with changes at once: those who change a mute in the time that the writers are behind. The oldest give way.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Changes of one account: more than anybody types in the time of a write. The oldest give way.
pub const CHANGES_MAX: usize = 64;
/// How long what was written is kept: longer than a look-up in storage, which may have been made just before, is used.
const KEPT: Duration = Duration::from_secs(60);

/// How long a change waits at most: its writer may have ended with its zone's ownership, and the next owner's brings it to
/// storage, which knows of a mute that ended for a day.
const WAITS_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// A change of a mute on its way to storage.
#[derive(Debug)]
struct Change {
    mark: MuteMark,
    /// When it was committed, or read again.
    added: Instant,
    /// When storage had it.
    written: Option<Instant>,
}

/// The changes that wait for the writers of a process's zones, and those that did a moment ago.
#[derive(Debug, Default)]
pub struct Unwritten {
    by_account: Mutex<HashMap<AccountId, Vec<Change>>>,
}

impl Unwritten {
    /// A commit's records go to storage.
    pub fn add(&self, stamp: &Stamp, records: &[Record], now: Instant) {
        for record in records {
            let Record::Mute { mute, removed } = record else { continue };
            let mark = MuteMark { mute: mute.clone(), ended: *removed, stamp: stamp.clone() };
            self.put(mark, now);
        }
    }

    fn put(&self, mark: MuteMark, now: Instant) {
        let mut by_account = self.by_account.lock();
        let account = mark.mute.account;
        if !by_account.contains_key(&account) {
            by_account.retain(|_, changes| {
                changes.retain(|change| !change.is_over(now));
                !changes.is_empty()
            });
        }
        if by_account.len() >= ACCOUNTS_MAX && !by_account.contains_key(&account) {
            let oldest = by_account.iter().min_by_key(|(_, changes)| newest(changes)).map(|(id, _)| *id);
            oldest.and_then(|id| by_account.remove(&id));
        }
        let changes = by_account.entry(account).or_default();
        let later =
            |known: &MuteMark| known.stamp.epoch == mark.stamp.epoch && known.stamp.seq > mark.stamp.seq;
        if changes.iter().any(|change| is_about(&change.mark, &mark) && later(&change.mark)) {
            // A zone that is loaded brings everything since its checkpoint again.
            return;
        }
        changes.retain(|change| !change.is_over(now) && !is_about(&change.mark, &mark));
        if changes.len() >= CHANGES_MAX {
            changes.remove(0);
        }
        changes.push(Change { mark, added: now, written: None });
    }

    /// Storage has these, or has refused them for good.
    pub fn written(&self, commits: &[(Stamp, Vec<Record>)], now: Instant) {
        for (stamp, record) in
            commits.iter().flat_map(|(stamp, records)| records.iter().map(move |r| (stamp, r)))
        {
            let Record::Mute { mute, .. } = record else { continue };
            let mut by_account = self.by_account.lock();
            let changes = by_account.get_mut(&mute.account).into_iter().flatten();
            for change in changes.filter(|change| change.mark.stamp == *stamp && change.written.is_none()) {
                change.written = Some(now);
            }
        }
    }

    /// An account's mutes as an edge is told them: what is on its way laid over what storage said.
    pub fn told(&self, account: AccountId, mut marks: Vec<MuteMark>, epoch: &str, now_ms: i64) -> MuteList {
        self.lay_over(account, &mut marks, now_ms, Instant::now());
        let mutes = marks.iter().map(|mark| convert::mute_mark(mark, epoch)).collect();
        MuteList { account: account.to_string(), mutes }
    }

    /// Lays what is on its way over what storage said of an account's mutes; `now_ms` is the time that it said it of.
    pub fn lay_over(&self, account: AccountId, marks: &mut Vec<MuteMark>, now_ms: i64, now: Instant) {
        let by_account = self.by_account.lock();
        let changes = by_account.get(&account).into_iter().flatten();
        for Change { mark, .. } in changes.filter(|change| !change.is_over(now)) {
            let over = mark.mute.until_ms.is_some_and(|until| until <= now_ms);
            let mark = MuteMark { ended: mark.ended || over, ..mark.clone() };
            match marks.iter_mut().find(|known| is_about(known, &mark)) {
                Some(known) if known.stamp.epoch != mark.stamp.epoch => *known = mark,
                Some(known) if known.stamp.seq <= mark.stamp.seq => *known = mark,
                Some(_) => {}
                None => marks.push(mark),
            }
        }
    }
}

impl Change {
    fn is_over(&self, now: Instant) -> bool {
        let for_so_long = |since, long| now.saturating_duration_since(since) >= long;
        self.written.is_some_and(|written| for_so_long(written, KEPT)) || for_so_long(self.added, WAITS_MAX)
    }
}

fn newest(changes: &[Change]) -> u64 {
    changes.iter().map(|change| change.mark.stamp.seq).max().unwrap_or(0)
}

/// Whether two are the same mute, made and taken back.
fn is_about(one: &MuteMark, other: &MuteMark) -> bool {
    let (one, other) = (&one.mute, &other.mute);
    (one.account, one.target, &one.channel) == (other.account, other.target, &other.channel)
}

#[cfg(test)]
mod tests {
    use tidings_storage::Mute;

    use super::*;

    fn stamp(seq: u64) -> Stamp {
        Stamp { epoch: "e".into(), seq }
    }

    fn mute(account: u128, target: u128) -> Mute {
        Mute {
            account: AccountId::from_u128(account),
            target: Some(AccountId::from_u128(target)),
            channel: String::new(),
            name: String::new(),
            until_ms: None,
            reason: String::new(),
        }
    }

    fn record(target: u128, removed: bool) -> Vec<Record> {
        vec![Record::Mute { mute: mute(1, target), removed }]
    }

    fn over(unwritten: &Unwritten, stored: &[(u128, bool, u64)]) -> Vec<(u128, bool, u64)> {
        over_at(unwritten, stored, Instant::now())
    }

    fn over_at(unwritten: &Unwritten, stored: &[(u128, bool, u64)], now: Instant) -> Vec<(u128, bool, u64)> {
        let mark = |(target, ended, seq): &(u128, bool, u64)| MuteMark {
            mute: mute(1, *target),
            ended: *ended,
            stamp: stamp(*seq),
        };
        let mut marks = stored.iter().map(mark).collect();
        unwritten.lay_over(AccountId::from_u128(1), &mut marks, 1_000, now);
        marks.iter().map(|m| (m.mute.target.map_or(0, AccountId::as_u128), m.ended, m.stamp.seq)).collect()
    }

    #[test]
    fn what_is_on_its_way_is_laid_over_what_storage_says() {
        let (unwritten, now) = (Unwritten::default(), Instant::now());
        unwritten.add(&stamp(50), &record(7, false), now);
        for (stored, expected) in [
            (&[][..], &[(7, false, 50)][..]),
            (&[(7, true, 40)], &[(7, false, 50)]),
            (&[(7, true, 60)], &[(7, true, 60)]),
            (&[(8, false, 60)], &[(8, false, 60), (7, false, 50)]),
        ] {
            assert_eq!(over(&unwritten, stored), expected);
        }
        unwritten.add(&stamp(70), &record(7, true), now);
        unwritten.add(&stamp(60), &record(7, false), now);
        assert_eq!(
            over(&unwritten, &[(7, false, 50)]),
            [(7, true, 70)],
            "the later one counts, read again or not"
        );
        let mut other = Vec::new();
        unwritten.lay_over(AccountId::from_u128(2), &mut other, 0, now);
        assert_eq!(other, []);
    }

    #[test]
    fn what_was_written_is_forgotten_after_a_while() {
        let (unwritten, now) = (Unwritten::default(), Instant::now());
        unwritten.add(&stamp(1), &record(7, false), now);
        unwritten.add(&stamp(2), &record(8, false), now);
        unwritten.written(&[(stamp(1), record(7, false))], now);
        assert_eq!(over(&unwritten, &[]).len(), 2, "whoever asked storage before may not know of it");
        assert_eq!(over_at(&unwritten, &[], now + KEPT), [(8, false, 2)]);
        unwritten.add(&stamp(3), &record(9, false), now + KEPT);
        let kept = |unwritten: &Unwritten| unwritten.by_account.lock()[&AccountId::from_u128(1)].len();
        assert_eq!((over(&unwritten, &[]), kept(&unwritten)), (vec![(8, false, 2), (9, false, 3)], 2));
        assert_eq!(
            over_at(&unwritten, &[], now + WAITS_MAX),
            [(9, false, 3)],
            "nobody brings it there any more"
        );
    }

    #[test]
    fn a_mute_that_is_over_has_ended() {
        let unwritten = Unwritten::default();
        let brief = Mute { until_ms: Some(1_000), ..mute(1, 7) };
        unwritten.add(&stamp(1), &[Record::Mute { mute: brief, removed: false }], Instant::now());
        assert_eq!(over(&unwritten, &[]), [(7, true, 1)]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (unwritten, now) = (Unwritten::default(), Instant::now());
        for seq in 1..=CHANGES_MAX as u64 + 10 {
            unwritten.add(&stamp(seq), &record(seq.into(), false), now);
        }
        let kept = over(&unwritten, &[]);
        assert_eq!((kept.len(), kept[0].2), (CHANGES_MAX, 11));
        for account in 2..ACCOUNTS_MAX as u128 + 10 {
            let record = Record::Mute { mute: mute(account, 1), removed: false };
            unwritten.add(&stamp(1_000 + account as u64), &[record], now);
        }
        let by_account = unwritten.by_account.lock();
        assert_eq!(by_account.len(), ACCOUNTS_MAX);
        assert!(!by_account.contains_key(&AccountId::from_u128(1)), "the oldest gave way");
    }
}
