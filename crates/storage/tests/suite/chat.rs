//! Chat history.

use tidings_protocol::Audience;
use tidings_storage::{ChatLine, ChatQuery, Stamp, Store};

use super::{NOW, account_id};

fn room() -> Audience {
    "room.a_b".parse().expect("an audience")
}

fn line(seq: u64) -> ChatLine {
    ChatLine {
        seq,
        audience: room(),
        channel: if seq.is_multiple_of(2) { "say" } else { "local" }.to_owned(),
        time_ms: NOW + seq as i64,
        from_id: "0".repeat(32),
        from_name: "Ann".to_owned(),
        from_account: account_id(u128::from(seq % 3)).to_string(),
        always: seq == 3,
        body: vec![0, seq as u8],
    }
}

fn lines(range: std::ops::RangeInclusive<u64>) -> Vec<ChatLine> {
    range.map(line).collect()
}

async fn seqs(store: &Store, query: ChatQuery) -> Vec<u64> {
    store.chat_lines(&query).await.expect("lines").iter().map(|line| line.seq).collect()
}

fn query(channel: &str, limit: usize) -> ChatQuery {
    ChatQuery { audience: room(), channel: channel.to_owned(), without: vec![], through: None, limit }
}

pub async fn a_line_is_kept_once(store: &Store) {
    store.record_chat("e1", &lines(1..=3), &[(room(), 3)]).await.expect("kept");
    store.record_chat("e1", &lines(2..=4), &[(room(), 4)]).await.expect("kept");
    assert_eq!(store.chat_lines(&query("", 10)).await.expect("lines"), lines(1..=4));
    store.record_chat("e2", &lines(1..=1), &[]).await.expect("another epoch counts anew");
    assert_eq!(seqs(store, query("", 10)).await, [1, 2, 3, 4, 1]);
    let through = Some(Stamp { epoch: "e1".to_owned(), seq: 2 });
    assert_eq!(seqs(store, ChatQuery { through, ..query("", 10) }).await, [1, 2, 1]);
}

pub async fn the_newest_lines_come_oldest_first(store: &Store) {
    store.record_chat("e1", &lines(1..=9), &[]).await.expect("kept");
    assert_eq!(seqs(store, query("", 3)).await, [7, 8, 9]);
    assert_eq!(seqs(store, query("say", 3)).await, [4, 6, 8]);
    assert_eq!(seqs(store, query("global", 3)).await, [0; 0]);
    assert_eq!(seqs(store, query("", 0)).await, [0; 0]);
}

pub async fn muted_authors_are_left_out(store: &Store) {
    store.record_chat("e1", &lines(1..=9), &[]).await.expect("kept");
    let without = ChatQuery { without: vec![account_id(0), account_id(1)], ..query("", 100) };
    assert_eq!(seqs(store, without).await, [2, 3, 5, 8], "3 is heard by all");
    let many = ChatQuery { without: (10..5000).map(account_id).collect(), ..query("", 100) };
    assert_eq!(seqs(store, many).await.len(), 9);
}

pub async fn a_place_never_moves_back(store: &Store) {
    let place = || async { store.chat_cursor("e1", &room()).await.expect("a place") };
    assert_eq!(place().await, 0);
    for (seq, expected) in [(5, 5), (3, 5), (6, 6)] {
        store.record_chat("e1", &[], &[(room(), seq)]).await.expect("kept");
        assert_eq!(place().await, expected);
    }
    assert_eq!(store.chat_cursor("e2", &room()).await.expect("a place"), 0);
    let world: Audience = "world.w".parse().expect("an audience");
    store.record_chat("e1", &[], &[(world.clone(), 0)]).await.expect("kept");
    let all = store.chat_cursors("e1", None, 1).await.expect("a page");
    assert_eq!(all, [(room(), 6)]);
    assert_eq!(store.chat_cursors("e1", Some(&room()), 9).await.expect("a page"), [(world, 0)]);
}

pub async fn history_is_pruned(store: &Store) {
    store.record_chat("e1", &lines(1..=9), &[(room(), 9)]).await.expect("kept");
    assert_eq!(store.prune_chat(NOW + 3, 100).await.expect("a number"), 2);
    assert_eq!(store.prune_chat(NOW, 4).await.expect("a number"), 3);
    assert_eq!(seqs(store, query("", 100)).await, [6, 7, 8, 9]);
    let gone: Audience = format!("player.{}", super::character_id(7)).parse().expect("an audience");
    store.record_chat("e1", &[], &[(gone.clone(), 5)]).await.expect("kept");
    assert_eq!(store.prune_chat(NOW, 4).await.expect("a number"), 0);
    assert_eq!(store.chat_cursor("e1", &gone).await.expect("a place"), 0, "there is no such character");
    assert_eq!(store.chat_cursor("e1", &room()).await.expect("a place"), 9);
}

pub async fn places_without_lines_are_forgotten(store: &Store) {
    let party = |n: u128| -> Audience { Audience::Party(tidings_protocol::PartyId::new(1, n)) };
    let places = [(room(), 9), (party(1), 0), (party(2), 3)];
    store.record_chat("e1", &lines(1..=9), &places).await.expect("kept");
    let asked = [room(), party(1), party(3)];
    assert_eq!(store.forget_chat(&asked).await.expect("an answer"), [party(1)]);
    let left = store.chat_cursors("e1", None, 9).await.expect("a page");
    assert_eq!(left, [(party(2), 3), (room(), 9)], "the room has lines, and of the other nobody asked");
}
