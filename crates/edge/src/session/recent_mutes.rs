//! Changes of mutes that were heard of in the logs and may not be in storage yet.
//!
//! A mute holds from its confirmation on, and the confirmation comes by the log: the zone's writer brings it to storage
//! a moment later, or much later where storage takes no writes. A list that is loaded meanwhile knows nothing of it. So
//! what the logs say is kept here, for all shards of the process, and laid over every list until one includes it; of an
//! account without a session here, whose lists nobody loads, for a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidings_protocol::proto::world::v1::MuteList;

use crate::fanout::Mute;

/// Accounts with recent changes: those who change a mute in the time that a writer is behind. The oldest give way.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Recent changes of one account: more than anybody types in the time of a write. The oldest give way.
pub const CHANGES_MAX: usize = 64;
/// A list that says the same as a change may be older than it and say so by chance, for as long as a zone's writer is
/// behind: only after this time it is taken for the change itself. As long is kept what nobody asks for.
const SETTLED: Duration = Duration::from_secs(15 * 60);

/// The newest change of each mute, by account.
#[derive(Debug, Default)]
pub struct RecentMutes {
    by_account: Mutex<HashMap<u128, Changes>>,
}

/// What the logs said of an account's mutes.
#[derive(Debug)]
struct Changes {
    /// When a change of it was last heard, or a list loaded: while it has a session here, at least each minute or so.
    used: Instant,
    /// Each when it was heard.
    all: Vec<(Instant, Mute)>,
}

impl RecentMutes {
    /// A log says that a mute was made or taken back.
    pub fn note(&self, mute: &Mute, now: Instant) {
        let mut by_account = self.by_account.lock();
        if !by_account.contains_key(&mute.account) {
            by_account.retain(|_, changes| now.saturating_duration_since(changes.used) < SETTLED);
        }
        if by_account.len() >= ACCOUNTS_MAX && !by_account.contains_key(&mute.account) {
            let oldest =
                by_account.iter().min_by_key(|(_, changes)| changes.used).map(|(account, _)| *account);
            oldest.and_then(|account| by_account.remove(&account));
        }
        let changes =
            by_account.entry(mute.account).or_insert_with(|| Changes { used: now, all: Vec::new() });
        changes.used = now;
        let changes = &mut changes.all;
        if let Some(known) = changes.iter_mut().find(|(_, known)| known.is_about(mute)) {
            if known.1.seq < mute.seq {
                *known = (now, mute.clone());
            }
            return;
        }
        if changes.len() >= CHANGES_MAX {
            let oldest = (0..changes.len()).min_by_key(|at| changes[*at].1.seq);
            oldest.map(|at| changes.swap_remove(at));
        }
        changes.push((now, mute.clone()));
    }

    /// What a list of the account does not include; what it does is forgotten.
    pub fn missing(&self, account: u128, list: &MuteList, now: Instant) -> Vec<Mute> {
        let mut by_account = self.by_account.lock();
        let Some(Changes { used, all: changes }) = by_account.get_mut(&account) else { return Vec::new() };
        *used = now;
        let listed: Vec<Mute> = list.mutes.iter().map(Mute::from).collect();
        changes.retain(|(heard, change)| {
            let settled = now.saturating_duration_since(*heard) >= SETTLED;
            match listed.iter().find(|listed| listed.is_about(change)) {
                Some(listed) if listed.seq > change.seq => false,
                Some(listed) => !(settled && listed.does_what(change)),
                None => !(settled && change.removed),
            }
        });
        let missing = changes.iter().map(|(_, change)| change.clone()).collect();
        if changes.is_empty() {
            by_account.remove(&account);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use tidings_protocol::proto::world::v1::MuteChange;

    use super::*;

    fn mute(target: u128, removed: bool, seq: u64) -> Mute {
        Mute { account: 1, target, channel: "".into(), until_ms: 0, removed, seq }
    }

    fn list(mutes: &[(u128, bool, u64)]) -> MuteList {
        let wire = |(target, removed, seq): &(u128, bool, u64)| MuteChange {
            account: format!("{:032x}", 1),
            target_account: format!("{target:032x}"),
            removed: *removed,
            seq: *seq,
            ..MuteChange::default()
        };
        MuteList { account: format!("{:032x}", 1), mutes: mutes.iter().map(wire).collect() }
    }

    #[test]
    fn a_change_is_laid_over_lists_until_one_includes_it() {
        let (recent, now) = (RecentMutes::default(), Instant::now());
        recent.note(&mute(7, false, 50), now);
        recent.note(&mute(7, true, 40), now); // heard late: older than what is known
        let missing = |mutes: &[(u128, bool, u64)], at| recent.missing(1, &list(mutes), at);
        // Storage knows nothing of it yet; or an older mute, or an older end.
        for behind in [&[][..], &[(7, false, 30)], &[(7, true, 45)], &[(8, false, 60)]] {
            assert_eq!(missing(behind, now), [mute(7, false, 50)], "{behind:?}");
        }
        assert_eq!(
            missing(&[], now + 2 * SETTLED),
            [mute(7, false, 50)],
            "however long storage takes no writes"
        );
        assert_eq!(recent.missing(2, &list(&[]), now), []);
        // The commit is there: it stays a while, since an older mute says the same, and then goes.
        assert_eq!(missing(&[(7, false, 49)], now).len(), 1);
        assert_eq!(missing(&[(7, false, 49)], now + SETTLED), []);
        assert_eq!(missing(&[], now), []);
        // A later change is there, by whatever way.
        recent.note(&mute(7, false, 50), now);
        assert_eq!(missing(&[(7, true, 70)], now), []);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (recent, now) = (RecentMutes::default(), Instant::now());
        for target in 0..CHANGES_MAX as u128 + 10 {
            recent.note(&mute(target, false, 100 + target as u64), now);
        }
        let kept = recent.missing(1, &list(&[]), now);
        assert_eq!((kept.len(), kept.iter().map(|mute| mute.seq).min()), (CHANGES_MAX, Some(110)));
        for account in 0..ACCOUNTS_MAX as u128 + 10 {
            let at = now + Duration::from_millis(account as u64);
            recent.note(&Mute { account, ..mute(1, false, 1) }, at);
        }
        assert_eq!(recent.by_account.lock().len(), ACCOUNTS_MAX);
        assert!(recent.by_account.lock().contains_key(&(ACCOUNTS_MAX as u128 + 9)));
    }

    #[test]
    fn accounts_that_have_left_are_forgotten() {
        let (recent, now) = (RecentMutes::default(), Instant::now());
        for account in [1, 2] {
            recent.note(&Mute { account, ..mute(7, false, 50) }, now);
        }
        // Of the first the list is loaded: it has a session, however long storage takes no writes.
        for minute in 1..=30 {
            assert_eq!(recent.missing(1, &list(&[]), now + Duration::from_secs(60) * minute).len(), 1);
        }
        recent.note(&Mute { account: 3, ..mute(7, false, 60) }, now + Duration::from_secs(60) * 30);
        let mut left: Vec<_> = recent.by_account.lock().keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [1, 3]);
    }
}
