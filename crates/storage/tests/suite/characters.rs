//! Characters.

use tidings_protocol::RoomId;
use tidings_storage::names::name_key;
use tidings_storage::{ErrorKind, Record, Stamp, Store};

use super::{account_id, character_id, new_character, with_account};

fn room(text: &str) -> RoomId {
    text.parse().expect("a room")
}

fn at(seq: u64) -> Stamp {
    Stamp { epoch: "e1".to_owned(), seq }
}

fn place(n: u128, to: &str, state: &str) -> [Record; 1] {
    [Record::Character { id: character_id(n), room: room(to), state: state.to_owned() }]
}

pub async fn a_name_is_taken_once(store: &Store) {
    with_account(store, 1, "ann").await;
    with_account(store, 2, "ben").await;
    store.create_character(&new_character(1, 1, "Bill"), 5).await.expect("a character");
    for alike in ["bill", "BILL", "BiII", "Blll"] {
        let error = store.create_character(&new_character(2, 2, alike), 5).await.expect_err(alike);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{alike}");
    }
    let found = store.character_by_name(&name_key("bILL")).await.expect("an answer").expect("a character");
    assert_eq!((found.id, found.name.as_str()), (character_id(1), "Bill"));
    assert_eq!(store.character_by_name("ben").await.expect("an answer"), None);
    let error = store.create_character(&new_character(3, 77, "Cleo"), 5).await.expect_err("no account");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

pub async fn an_account_has_so_many(store: &Store) {
    with_account(store, 1, "ann").await;
    for (n, name) in ["Aaa", "Bbb"].into_iter().enumerate() {
        store.create_character(&new_character(n as u128, 1, name), 2).await.expect("a character");
    }
    let error = store.create_character(&new_character(9, 1, "Ccc"), 2).await.expect_err("a third");
    assert_eq!(error.kind(), ErrorKind::Limit);
    let names: Vec<String> =
        store.characters(account_id(1)).await.expect("characters").into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["Aaa", "Bbb"]);
}

pub async fn a_place_is_kept(store: &Store) {
    with_account(store, 1, "ann").await;
    store.create_character(&new_character(1, 1, "Ann"), 5).await.expect("a character");
    let new = store.character(character_id(1)).await.expect("an answer").expect("a character");
    assert_eq!((new.room, new.state.as_str()), (None, ""));
    store.apply(&at(5), &place(1, "harbour_quay", r#"{"a":1}"#)).await.expect("kept");
    let kept = store.character(character_id(1)).await.expect("an answer").expect("a character");
    assert_eq!((kept.room, kept.state.as_str()), (Some(room("harbour_quay")), r#"{"a":1}"#));
}

pub async fn an_older_commit_changes_nothing(store: &Store) {
    with_account(store, 1, "ann").await;
    store.create_character(&new_character(1, 1, "Ann"), 5).await.expect("a character");
    let now =
        || async { store.character(character_id(1)).await.expect("an answer").expect("a character").state };
    store.apply(&at(5), &place(1, "a_b", "five")).await.expect("kept");
    store.apply(&at(4), &place(1, "a_b", "four")).await.expect("left out");
    assert_eq!(now().await, "five");
    store.apply(&at(5), &place(1, "a_b", "five again")).await.expect("the same commit, later in it");
    assert_eq!(now().await, "five again");
    let other = Stamp { epoch: "e2".to_owned(), seq: 1 };
    store.apply(&other, &place(1, "a_b", "restored")).await.expect("another epoch begins anew");
    assert_eq!(now().await, "restored");
}

pub async fn commits_at_once_are_as_one_after_another(store: &Store) {
    with_account(store, 1, "ann").await;
    for (n, name) in [(1, "Ann"), (2, "Bea"), (3, "Cleo")] {
        store.create_character(&new_character(n, 1, name), 5).await.expect("a character");
    }
    store.apply(&at(8), &place(3, "z_newer", "{}")).await.expect("kept");
    let state = r#"{"said":"\"ö\" 'n' \\"}"#;
    let commits = [
        (at(5), [place(1, "z_a", "1"), place(2, "z_a", "1"), place(3, "z_a", "1")].concat()),
        (at(7), [place(1, "z_b", "2"), place(1, "z_c", state), place(9, "z_c", "nobody")].concat()),
        (at(6), place(1, "z_late", "3").to_vec()),
        (Stamp { epoch: "e2".to_owned(), seq: 1 }, place(2, "z_d", "4").to_vec()),
    ];
    for _ in 0..2 {
        store.apply_all(&commits).await.expect("kept");
        let mut found = Vec::new();
        for n in [1, 2, 3] {
            let one = store.character(character_id(n)).await.expect("an answer").expect("a character");
            found.push((one.room.expect("a room").to_string(), one.state));
        }
        let expected = [("z_c", state), ("z_d", "4"), ("z_newer", "{}")];
        assert_eq!(found, expected.map(|(room, state)| (room.to_owned(), state.to_owned())));
    }
    store.apply_all(&[]).await.expect("nothing");
}

pub async fn ids_come_in_pages(store: &Store) {
    with_account(store, 1, "ann").await;
    for (n, name) in ["Aaa", "Bbb", "Ccc"].into_iter().enumerate() {
        store.create_character(&new_character(n as u128, 1, name), 9).await.expect("a character");
    }
    let first = store.character_ids(None, 2).await.expect("a page");
    assert_eq!(first, [character_id(0), character_id(1)]);
    assert_eq!(store.character_ids(first.last().copied(), 2).await.expect("a page"), [character_id(2)]);
}

pub async fn only_the_owner_deletes(store: &Store) {
    with_account(store, 1, "ann").await;
    with_account(store, 2, "ben").await;
    store.create_character(&new_character(1, 1, "Ann"), 5).await.expect("a character");
    assert!(!store.delete_character(account_id(2), character_id(1)).await.expect("an answer"));
    assert!(store.delete_character(account_id(1), character_id(1)).await.expect("an answer"));
    store.create_character(&new_character(2, 2, "Ann"), 5).await.expect("the name is free again");
}
