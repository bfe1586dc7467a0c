//! Mutes, sanctions and the audit log.

use tidings_storage::{AuditEntry, Ban, ENDED_MUTES_MAX, Mute, MuteMark, Record, Stamp, Store};

use super::{NOW, account_id, character_id, with_account};

fn at(seq: u64) -> Stamp {
    Stamp { epoch: "e1".to_owned(), seq }
}

fn mute(target: u128, channel: &str, until_ms: Option<i64>) -> Mute {
    Mute {
        account: account_id(1),
        target: Some(account_id(target)),
        channel: channel.to_owned(),
        name: format!("Name{target}"),
        until_ms,
        reason: "rude".to_owned(),
    }
}

fn made(mute: Mute) -> Record {
    Record::Mute { mute, removed: false }
}

fn ended(mute: Mute) -> Record {
    Record::Mute { mute, removed: true }
}

pub async fn mutes_are_made_and_end(store: &Store) {
    let ann = with_account(store, 1, "ann").await;
    let channel = Mute { target: None, ..mute(0, "global", None) };
    let records = [
        made(mute(2, "", None)),
        made(mute(3, "local", Some(NOW + 10))),
        made(channel.clone()),
        made(mute(4, "", None)),
        ended(mute(4, "", None)),
    ];
    store.apply(&at(1), &records).await.expect("kept");
    let expected = [channel.clone(), mute(2, "", None), mute(3, "local", Some(NOW + 10))];
    assert_eq!(store.mutes(ann, NOW).await.expect("mutes"), expected);
    assert_eq!(store.mutes(ann, NOW + 10).await.expect("mutes"), expected[..2], "one is over");
    assert_eq!(store.prune_mutes(NOW + 10).await.expect("a number"), 1);
    assert_eq!(store.prune_mutes(NOW + 10).await.expect("a number"), 0);
    assert_eq!(store.mutes(ann, NOW).await.expect("mutes"), expected[..2]);
    assert!(store.mutes(account_id(9), NOW).await.expect("mutes").is_empty());
}

/// Each gets its own, at its own time, however many ask at once.
pub async fn a_crowd_is_told_of_its_mutes(store: &Store) {
    for n in 1..=20 {
        let account = with_account(store, n, &format!("name.{n}x")).await;
        let mine = |target, ends| Mute { account, ..mute(target, "", ends) };
        let records = [made(mine(100, None)), made(mine(101, Some(NOW + n as i64)))];
        store.apply(&at(n as u64), &records).await.expect("kept");
    }
    let tasks: Vec<_> = (1..=25u128)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, store.mutes(account_id(n), NOW + 10).await.expect("mutes")) })
        })
        .collect();
    for task in tasks {
        let (n, mutes) = task.await.expect("no panic");
        assert!(mutes.iter().all(|mute| mute.account == account_id(n)), "{n}");
        assert_eq!(mutes.len(), if n > 20 { 0 } else { 1 + usize::from(n > 10) }, "{n}");
    }
}

pub async fn what_is_known_of_the_mutes_of_many_accounts_is_told_at_once(store: &Store) {
    let (ann, ben) = (with_account(store, 1, "ann").await, with_account(store, 2, "ben").await);
    let bens = Mute { account: ben, ..mute(3, "", None) };
    store.apply(&at(1), &[made(mute(2, "", None)), made(bens.clone())]).await.expect("kept");
    store.apply(&at(2), &[made(mute(3, "", Some(NOW + 10)))]).await.expect("kept");
    store.apply(&at(3), &[ended(mute(2, "", None))]).await.expect("kept");
    let marks = |now| async move {
        let mut marks = store.mute_marks(&[ann, ben, account_id(9)], now).await.expect("marks");
        marks.sort_by_key(|mark| mark.stamp.seq);
        marks
    };
    let mark = |mute: Mute, ended, seq| MuteMark { mute, ended, stamp: at(seq) };
    let until = mute(3, "", Some(NOW + 10));
    let expected =
        [mark(bens.clone(), false, 1), mark(until.clone(), false, 2), mark(mute(2, "", None), true, 3)];
    assert_eq!(marks(NOW).await, expected);
    assert!(marks(NOW + 10).await[1].ended, "over by its time");
    assert_eq!(store.mute_marks(&[], NOW).await.expect("marks"), []);
    // Of those that ended the newest are told.
    let many: Vec<Record> =
        (10..).take(ENDED_MUTES_MAX).map(|target| ended(mute(target, "", None))).collect();
    store.apply(&at(4), &many).await.expect("kept");
    let ended = marks(NOW).await.into_iter().filter(|mark| mark.ended);
    assert!(ended.map(|mark| mark.stamp.seq).eq(std::iter::repeat_n(4, ENDED_MUTES_MAX)));
}

/// Each its own, however many ask at once.
pub async fn an_account_brings_its_mutes_and_its_silence(store: &Store) {
    for n in 1..=12 {
        let account = with_account(store, n, &format!("name.{n}x")).await;
        let mine = |target, ends| Mute { account, ..mute(target, "", ends) };
        let mut records = vec![made(mine(100, None)), made(mine(101, Some(NOW + n as i64)))];
        if n % 2 == 0 {
            records.push(Record::Silence(account, Some(NOW + n as i64), String::new()));
        }
        store.apply(&at(n as u64), &records).await.expect("kept");
    }
    let tasks: Vec<_> = (1..=15u128)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, store.brought(account_id(n), NOW + 6).await.expect("an answer")) })
        })
        .collect();
    for task in tasks {
        let (n, brought) = task.await.expect("no panic");
        let known = n <= 12;
        assert_eq!(brought.silenced_until_ms, (known && n % 2 == 0).then_some(NOW + n as i64), "{n}");
        let mut marks = store.mute_marks(&[account_id(n)], NOW + 6).await.expect("marks");
        marks.sort_by_key(|mark| mark.ended);
        assert_eq!(brought.mutes, marks, "{n}");
        assert_eq!(
            brought.mutes.iter().filter(|mark| mark.ended).count(),
            usize::from(known && n <= 6),
            "{n}"
        );
    }
}

pub async fn a_replay_does_not_bring_a_mute_back(store: &Store) {
    let ann = with_account(store, 1, "ann").await;
    store.apply(&at(1), &[made(mute(2, "", None))]).await.expect("kept");
    store.apply(&at(2), &[ended(mute(2, "", None))]).await.expect("kept");
    store.prune_mutes(NOW).await.expect("its mark stays for a day");
    store.apply(&at(1), &[made(mute(2, "", None))]).await.expect("left out");
    assert!(store.mutes(ann, NOW).await.expect("mutes").is_empty());
    store.apply(&at(3), &[made(mute(2, "", None))]).await.expect("kept");
    assert_eq!(store.mutes(ann, NOW).await.expect("mutes").len(), 1);
}

pub async fn sanctions_hold_and_end(store: &Store) {
    let ann = with_account(store, 1, "ann").await;
    let now = || async { store.account(ann).await.expect("an answer").expect("an account") };
    let ban = Ban { until_ms: None, reason: "enough".to_owned() };
    let records =
        [Record::Silence(ann, Some(NOW + 10), "loud".to_owned()), Record::Ban(ann, Some(ban.clone()))];
    store.apply(&at(7), &records).await.expect("kept");
    assert_eq!((now().await.silenced_until_ms, now().await.ban), (Some(NOW + 10), Some(ban)));
    store.set_ban(ann, None).await.expect("the command line lifts it");
    store.apply(&at(7), &records).await.expect("a replay");
    assert_eq!(now().await.ban, None, "stays lifted");
    store.apply(&at(8), &[Record::Silence(ann, None, String::new())]).await.expect("kept");
    assert_eq!(now().await.silenced_until_ms, None);
}

fn entry(n: i64) -> AuditEntry {
    AuditEntry {
        time_ms: NOW + n,
        account: account_id(1).to_string(),
        name: "Ann".to_owned(),
        action: "kick".to_owned(),
        target: "Ben".to_owned(),
        detail: String::new(),
    }
}

pub async fn the_audit_log_has_an_end(store: &Store) {
    for n in 0..6 {
        store.audit(&entry(n)).await.expect("kept");
    }
    let times = async || {
        let page = store.audit_page(None, 9).await.expect("a page");
        page.into_iter().map(|(_, entry)| entry.time_ms - NOW).collect::<Vec<_>>()
    };
    assert_eq!(store.prune_audit(NOW, 6).await.expect("a number"), 0);
    assert_eq!(store.prune_audit(NOW + 2, 6).await.expect("a number"), 2, "by age");
    assert_eq!(times().await, [5, 4, 3, 2]);
    assert_eq!(store.prune_audit(NOW, 3).await.expect("a number"), 1, "by number");
    assert_eq!(times().await, [5, 4, 3]);
}

pub async fn the_same_entry_is_audited_once(store: &Store) {
    for n in [0, 1, 1, 2] {
        store.audit(&entry(n)).await.expect("kept");
    }
    store.apply(&at(1), &[Record::Audit(entry(2)), Record::Audit(entry(3))]).await.expect("kept");
    let page = store.audit_page(None, 3).await.expect("a page");
    let times: Vec<i64> = page.iter().map(|(_, entry)| entry.time_ms - NOW).collect();
    assert_eq!(times, [3, 2, 1]);
    let rest = store.audit_page(page.last().map(|(id, _)| *id), 3).await.expect("a page");
    assert_eq!(rest.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), [entry(0)]);
}

pub async fn records_of_what_is_gone_are_left_out(store: &Store) {
    let room = "a_b".parse().expect("a room");
    let gone = account_id(50);
    let records = [
        Record::Character { id: character_id(50), room, state: String::new() },
        Record::Silence(gone, Some(1), String::new()),
        Record::Ban(gone, Some(Ban { until_ms: None, reason: String::new() })),
        Record::Mute { mute: Mute { account: gone, ..mute(2, "", None) }, removed: false },
    ];
    store.apply(&at(1), &records).await.expect("no failure");
    store.apply(&at(1), &[]).await.expect("nothing to keep");
    assert!(store.mutes(gone, NOW).await.expect("mutes").is_empty());
}
