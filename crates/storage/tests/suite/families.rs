//! Sign-ins and refresh tokens.

use tidings_storage::{
    Ban, CharacterName, NewCharacter, NewFamily, Record, Rotate, Rotated, Secret, SignIn, Stamp, Store,
};

use super::{NOW, account_id, character_id, new_character, with_account};

const GRACE: i64 = 10_000;
const LIFE: i64 = 1_000_000;

fn ask(presented: u8, successor: u8, at: i64) -> Rotate {
    Rotate {
        presented: Secret::new([presented; 32]),
        salt: Secret::new([successor ^ 0xff; 32]),
        successor: Secret::new([successor; 32]),
        now_ms: NOW + at,
        grace_ms: GRACE,
        expires_ms: NOW + at + LIFE,
    }
}

async fn family(store: &Store) -> String {
    let account = with_account(store, 1, "ann").await;
    let family = NewFamily {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        account,
        token_hash: Secret::new([1; 32]),
        created_ms: NOW,
        expires_ms: NOW + LIFE,
    };
    store.create_family(&family).await.expect("a family");
    family.id
}

async fn rotate(store: &Store, ask: Rotate) -> Rotated {
    store.rotate(&ask).await.expect("an answer")
}

async fn is_live(store: &Store, id: &str) -> bool {
    store.family(id).await.expect("an answer").expect("a family").is_live(NOW)
}

pub async fn a_token_is_exchanged_once(store: &Store) {
    let id = family(store).await;
    assert!(matches!(rotate(store, ask(7, 8, 0)).await, Rotated::Refused), "a token nobody gave out");
    assert!(is_live(store, &id).await, "a guess harms nobody");
    let Rotated::Done(family) = rotate(store, ask(1, 2, 5)).await else { panic!("not done") };
    assert_eq!((family.id.as_str(), family.expires_ms), (id.as_str(), NOW + 5 + LIFE));
    assert!(matches!(rotate(store, ask(2, 3, 6)).await, Rotated::Done(_)));
}

pub async fn the_one_before_gives_the_same_successor_for_a_moment(store: &Store) {
    let id = family(store).await;
    assert!(matches!(rotate(store, ask(1, 2, 0)).await, Rotated::Done(_)));
    for at in [0, 5_000, 9_999] {
        let Rotated::Again(_, salt) = rotate(store, ask(1, 50, at)).await else {
            panic!("not again at {at}")
        };
        assert_eq!(salt.expose(), &[2 ^ 0xff; 32], "the first salt");
    }
    let holder = |token: u8, at: i64| async move {
        let hash = Secret::new([token; 32]);
        store.token_family(&hash, NOW + at, GRACE).await.expect("an answer").map(|family| family.id)
    };
    assert_eq!(holder(2, 0).await, Some(id.clone()));
    assert_eq!(holder(1, GRACE - 1).await, Some(id.clone()));
    assert_eq!(holder(1, GRACE).await, None, "its moment is over");
    assert_eq!(holder(9, 0).await, None);
    assert!(matches!(rotate(store, ask(2, 3, 9_999)).await, Rotated::Done(_)), "the successor is good");
    assert_eq!(holder(1, GRACE - 1).await, None, "its successor was used");
    assert!(is_live(store, &id).await);
}

pub async fn a_later_reuse_revokes_the_family(store: &Store) {
    let id = family(store).await;
    rotate(store, ask(1, 2, 0)).await;
    assert!(matches!(rotate(store, ask(1, 50, GRACE)).await, Rotated::Reused(_)), "too late");
    assert!(!is_live(store, &id).await);
    assert!(
        matches!(rotate(store, ask(2, 3, GRACE + 1)).await, Rotated::Refused),
        "the good one is dead too"
    );
}

pub async fn a_revoked_family_gives_nothing(store: &Store) {
    let id = family(store).await;
    assert!(store.revoke_family(&id, NOW).await.expect("an answer"));
    assert!(!store.revoke_family(&id, NOW).await.expect("an answer"));
    assert!(matches!(rotate(store, ask(1, 2, 1)).await, Rotated::Refused));
    assert!(!store.revoke_family("none", NOW).await.expect("an answer"));

    let account = store.family(&id).await.expect("an answer").expect("a family").account;
    assert!(store.revoke_families(account, NOW).await.expect("an answer").is_empty(), "none was live");
    let second = NewFamily {
        id: "f".repeat(32),
        account,
        token_hash: Secret::new([9; 32]),
        created_ms: NOW,
        expires_ms: NOW + LIFE,
    };
    store.create_family(&second).await.expect("a family");
    assert_eq!(store.revoke_families(account, NOW).await.expect("an answer"), ["f".repeat(32)]);
    let third = NewFamily { id: "e".repeat(32), token_hash: Secret::new([8; 32]), ..second };
    store.create_family(&third).await.expect("a family");
    assert_eq!(store.revoke_all_families(NOW).await.expect("a number"), 1);
}

pub async fn families_end(store: &Store) {
    let id = family(store).await;
    assert!(matches!(rotate(store, ask(1, 2, LIFE)).await, Rotated::Refused), "over");
    assert_eq!(store.prune_families(NOW + LIFE).await.expect("a number"), 0);
    assert_eq!(store.prune_families(NOW + LIFE + 1).await.expect("a number"), 1);
    assert_eq!(store.family(&id).await.expect("an answer"), None);
}

pub async fn a_sign_in_stands_until_it_is_revoked_or_banned(store: &Store) {
    let family = family(store).await;
    let account = store.family(&family).await.expect("an answer").expect("it is there").account;
    let stands = |at| store.stands(&family, at);
    assert!(stands(NOW).await.expect("an answer"));
    let ban = |until_ms| Record::Ban(account, Some(Ban { until_ms, reason: String::new() }));
    let at = |seq| Stamp { epoch: "e".into(), seq };
    store.apply(&at(1), &[ban(Some(NOW + 10))]).await.expect("kept");
    assert!(!stands(NOW + 9).await.expect("an answer") && stands(NOW + 10).await.expect("an answer"));
    store.apply(&at(2), &[ban(None)]).await.expect("kept");
    assert!(!stands(i64::MAX).await.expect("an answer"), "for good");
    store.apply(&at(3), &[Record::Ban(account, None)]).await.expect("kept");
    assert!(stands(NOW).await.expect("an answer"));
    store.revoke_family(&family, NOW).await.expect("revoked");
    assert!(!stands(NOW).await.expect("an answer") && !store.stands("none", NOW).await.expect("an answer"));
}

pub async fn a_sign_in_comes_with_the_only_character(store: &Store) {
    let family = family(store).await;
    let account = store.family(&family).await.expect("an answer").expect("it is there").account;
    let only = || async { store.opening(&family).await.expect("an answer").expect("a sign-in").1 };
    assert_eq!(only().await, None);
    let make = |n, name: &str| NewCharacter { account, ..new_character(n, 1, name) };
    store.create_character(&make(1, "Ann"), 5).await.expect("a character");
    let place =
        Record::Character { id: character_id(1), room: "z_a".parse().expect("a room"), state: "{}".into() };
    store.apply(&Stamp { epoch: "e".into(), seq: 1 }, &[place]).await.expect("kept");
    let ann = only().await.expect("a character");
    assert_eq!(Some(&ann), store.character(character_id(1)).await.expect("an answer").as_ref());
    assert_eq!(ann.state, "{}");
    store.create_character(&make(2, "Bea"), 5).await.expect("a character");
    assert_eq!(only().await, None, "one of several");
    assert_eq!(store.opening("none").await.expect("an answer"), None);
}

/// Each gets its own, however many ask at once: of the sign-in, the account and the only character.
pub async fn a_crowd_is_told_of_its_sign_ins(store: &Store) {
    const PEOPLE: u128 = 40;
    let family = |n: u128| format!("{n:032x}");
    for n in 0..PEOPLE {
        let account = with_account(store, n, &format!("name.{n}x")).await;
        let mut hash = [0; 32];
        hash[..16].copy_from_slice(&n.to_be_bytes());
        let (id, token_hash) = (family(n), Secret::new(hash));
        let one = NewFamily { id, account, token_hash, created_ms: NOW, expires_ms: NOW + n as i64 };
        store.create_family(&one).await.expect("a family");
        if n % 2 == 0 {
            let name = CharacterName::guest(n as u32);
            let one = NewCharacter { name, ..new_character(n, n, "Ann") };
            store.create_character(&one, 5).await.expect("a character");
        }
        if n % 3 == 0 {
            assert!(store.revoke_family(&family(n), NOW + 1).await.expect("revoked"));
        }
        if n % 5 == 0 {
            let ban = Ban { until_ms: None, reason: format!("for {n}") };
            store.set_ban(account, Some(&ban)).await.expect("banned");
        }
    }
    let ask = |n: u128| {
        let store = store.clone();
        tokio::spawn(async move {
            let (family, id) = (family(n), account_id(n));
            let (sign_in, account) = tokio::join!(store.sign_in(&family), store.account(id));
            let (opening, character) = tokio::join!(store.opening(&family), store.character(character_id(n)));
            let sign_in = sign_in.expect("an answer");
            assert_eq!(sign_in.as_ref().map(|one| &one.account), account.expect("an answer").as_ref());
            let character = character.expect("an answer");
            assert_eq!(opening.expect("an answer"), sign_in.clone().map(|one| (one, character.clone())));
            (n, sign_in, character)
        })
    };
    // Some of them twice, and some that nobody is.
    let tasks: Vec<_> = (0..PEOPLE + 10).chain(0..10).map(ask).collect();
    for task in tasks {
        let (n, sign_in, character) = task.await.expect("no panic");
        let Some(SignIn { family: found, account }) = sign_in else {
            assert!(n >= PEOPLE && character.is_none(), "{n}");
            continue;
        };
        assert_eq!((found.id, found.account, account.id), (family(n), account_id(n), account_id(n)));
        assert_eq!((found.expires_ms, found.revoked_ms.is_some()), (NOW + n as i64, n.is_multiple_of(3)));
        let reason = account.ban.map(|ban| ban.reason);
        assert_eq!(reason, n.is_multiple_of(5).then(|| format!("for {n}")));
        assert_eq!(character.map(|one| one.id), n.is_multiple_of(2).then(|| character_id(n)));
    }
}
