//! Accounts.

use tidings_storage::{
    Ban, CharacterName, ErrorKind, NewAccount, NewCharacter, NewFamily, Role, Secret, Store,
};

use super::{NOW, account_id, character_id, new_account, new_character, with_account};

pub async fn a_username_is_taken_once(store: &Store) {
    with_account(store, 1, "ann").await;
    for alike in ["ann", "ANN", "аnn".replace('n', "п").as_str(), "Ann"] {
        let Ok(name) = tidings_storage::Username::new(alike) else { continue };
        let again = NewAccount { username: name, ..new_account(2, "other") };
        let error = store.create_account(&again).await.expect_err(alike);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{alike}");
        assert!(!error.is_retryable());
    }
    let found = store.credentials("ann").await.expect("an answer").expect("an account");
    assert_eq!(found.account.id, account_id(1));
    assert_eq!(found.password.expect("a password").expose(), "$argon2id$of-ann");
    assert!(store.credentials("nobody").await.expect("an answer").is_none());
}

pub async fn accounts_come_in_pages(store: &Store) {
    for (n, name) in ["dora", "anna", "cleo", "bert"].into_iter().enumerate() {
        with_account(store, n as u128, name).await;
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = store.accounts(&after, 3).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = tidings_storage::names::name_key(&last.username);
        seen.extend(page.into_iter().map(|account| account.username));
    }
    assert_eq!(seen, ["anna", "bert", "cleo", "dora"]);
}

pub async fn changes_of_an_account_are_kept(store: &Store) {
    let id = with_account(store, 1, "ann").await;
    store.set_role(id, Role::Moderator).await.expect("a role");
    store.set_password(id, &Secret::new("$other".to_owned())).await.expect("a password");
    let ban = Ban { until_ms: Some(NOW + 10), reason: "a reason".to_owned() };
    store.set_ban(id, Some(&ban)).await.expect("a ban");
    let account = store.account(id).await.expect("an answer").expect("an account");
    assert_eq!(account.role, Role::Moderator);
    assert_eq!(account.banned(NOW), Some(&ban));
    assert_eq!(account.banned(NOW + 10), None);
    store.set_ban(id, Some(&Ban { until_ms: None, reason: String::new() })).await.expect("a ban");
    let account = store.account(id).await.expect("an answer").expect("an account");
    assert!(account.banned(i64::MAX - 1).is_some());
    store.set_ban(id, None).await.expect("no ban");
    assert_eq!(store.account(id).await.expect("an answer").expect("an account").ban, None);

    let gone = account_id(99);
    assert_eq!(store.set_role(gone, Role::Admin).await.expect_err("nobody").kind(), ErrorKind::NotFound);
    assert_eq!(store.set_ban(gone, None).await.expect_err("nobody").kind(), ErrorKind::NotFound);
    let password = Secret::new(String::new());
    assert_eq!(store.set_password(gone, &password).await.expect_err("nobody").kind(), ErrorKind::NotFound);
}

fn guest(n: u128, created_ms: i64) -> (NewAccount, NewCharacter, NewFamily) {
    let account =
        NewAccount { guest: true, password: None, created_ms, ..new_account(n, &format!("guest-{n}")) };
    let character =
        NewCharacter { name: CharacterName::guest(n as u32), ..new_character(n, n, "Placeholder") };
    let family = NewFamily {
        id: format!("{n:032x}"),
        account: account.id,
        token_hash: Secret::new([n as u8; 32]),
        created_ms,
        expires_ms: created_ms + 1000,
    };
    (account, character, family)
}

pub async fn a_guest_is_made_whole_or_not_at_all(store: &Store) {
    let (account, character, family) = guest(21, NOW);
    store.create_guest(&account, &character, &family).await.expect("a guest");
    assert_eq!(store.characters(account.id).await.expect("an answer")[0].name, "Guest-21");
    // Another account whose character's name is taken: nothing of it stays.
    let (other, _, family) = guest(22, NOW);
    let character = NewCharacter { id: character_id(22), account: other.id, ..character };
    let error = store.create_guest(&other, &character, &family).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(store.account(other.id).await.expect("an answer"), None);
}

pub async fn a_removed_account_leaves_nothing(store: &Store) {
    let (account, character, family) = guest(3, NOW);
    store.create_guest(&account, &character, &family).await.expect("a guest");
    assert!(store.remove_account(account.id).await.expect("an answer"));
    assert!(!store.remove_account(account.id).await.expect("an answer"));
    assert_eq!(store.character(character.id).await.expect("an answer"), None);
    assert_eq!(store.family(&family.id).await.expect("an answer"), None);
    store.create_guest(&account, &character, &family).await.expect("every name and token is free again");
}

pub async fn only_idle_guests_are_found(store: &Store) {
    with_account(store, 1, "ann").await;
    for n in [11, 12, 13] {
        let (account, character, family) = guest(n, NOW + n as i64);
        store.create_guest(&account, &character, &family).await.expect("a guest");
    }
    store.see_guest(account_id(11), NOW + 100).await.expect("seen");
    store.see_guest(account_id(11), NOW + 50).await.expect("a late word changes nothing");
    assert_eq!(store.idle_guests(NOW + 100, 10).await.expect("ids"), [account_id(12), account_id(13)]);
    assert_eq!(store.idle_guests(NOW + 100, 1).await.expect("ids"), [account_id(12)]);
    assert!(store.accounts("", 10).await.expect("a page").iter().all(|account| !account.guest));
}

pub async fn a_crowd_of_guests_is_made_at_once(store: &Store) {
    let tasks: Vec<_> = (0..300u128)
        .map(|n| {
            // Every tenth wants the name of the one before: it alone is refused.
            let (account, mut character, family) = guest(n + 1_000, NOW);
            if n % 10 == 9 {
                character.name = CharacterName::guest(n as u32 + 999);
            }
            let store = store.clone();
            tokio::spawn(async move {
                // The hash of a token is unique; the helper's has one byte of its number.
                let mut hash = [0; 32];
                hash[..16].copy_from_slice(&n.to_be_bytes());
                let family = NewFamily { token_hash: Secret::new(hash), ..family };
                store.create_guest(&account, &character, &family).await.map_err(|error| error.kind())
            })
        })
        .collect();
    let mut refused = 0;
    for (n, task) in tasks.into_iter().enumerate() {
        let made = task.await.expect("no panic");
        refused += usize::from(made.is_err());
        let there = store.account(account_id(n as u128 + 1_000)).await.expect("an answer").is_some();
        assert_eq!(there, made.is_ok(), "{n}");
    }
    assert_eq!(refused, 30);
}
