//! Chat history.

use tidings_protocol::Audience;
use tidings_storage::{ChatLine, ChatLog, ChatQuery, Stamp, Store};

use super::{NOW, account_id};

fn room() -> Audience {
    "room.a_b".parse().expect("an audience")
}

fn line(seq: u64) -> ChatLine {
    ChatLine {
        seq,
        time_ms: NOW + seq as i64,
        channel: "say".to_owned(),
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

/// Lines of the room, and its place after them.
async fn said(store: &Store, epoch: &str, range: std::ops::RangeInclusive<u64>) {
    let log = ChatLog { audience: room(), through: *range.end(), lines: lines(range) };
    store.record_chat(epoch, &[log]).await.expect("kept");
}

/// A place alone.
async fn read(store: &Store, audience: &Audience, through: u64) {
    let log = ChatLog { audience: audience.clone(), through, lines: vec![] };
    store.record_chat("e1", &[log]).await.expect("kept");
}

async fn seqs(store: &Store, query: ChatQuery) -> Vec<u64> {
    store.chat_lines(&query).await.expect("lines").iter().map(|line| line.seq).collect()
}

fn query(channel: &str, limit: usize) -> ChatQuery {
    ChatQuery { audience: room(), channel: channel.to_owned(), without: vec![], through: None, limit }
}

pub async fn a_line_is_kept_once(store: &Store) {
    said(store, "e1", 1..=3).await;
    said(store, "e1", 2..=4).await;
    assert_eq!(store.chat_lines(&query("say", 10)).await.expect("lines"), lines(1..=4));
    said(store, "e1", 2..=3).await;
    said(store, "e2", 1..=1).await;
    assert_eq!(seqs(store, query("say", 10)).await, [1, 2, 3, 4, 1], "another epoch counts anew");
    let through = Some(Stamp { epoch: "e1".to_owned(), seq: 2 });
    assert_eq!(seqs(store, ChatQuery { through, ..query("say", 10) }).await, [1, 2, 1]);
}

pub async fn the_newest_lines_come_oldest_first(store: &Store) {
    let mut mixed = lines(1..=9);
    mixed.iter_mut().step_by(2).for_each(|line| line.channel = "local".to_owned());
    let log = ChatLog { audience: room(), through: 9, lines: mixed };
    store.record_chat("e1", &[log]).await.expect("kept");
    assert_eq!(seqs(store, query("local", 3)).await, [5, 7, 9]);
    assert_eq!(seqs(store, query("say", 3)).await, [4, 6, 8]);
    assert_eq!(seqs(store, query("say", 9)).await, [2, 4, 6, 8]);
    assert_eq!(seqs(store, query("global", 3)).await, [0; 0]);
    assert_eq!(seqs(store, query("", 3)).await, [0; 0]);
    assert_eq!(seqs(store, query("say", 0)).await, [0; 0]);
    let elsewhere = ChatQuery { audience: "room.a_c".parse().expect("an audience"), ..query("say", 3) };
    assert_eq!(seqs(store, elsewhere).await, [0; 0]);
}

pub async fn muted_authors_are_left_out(store: &Store) {
    said(store, "e1", 1..=9).await;
    let without = ChatQuery { without: vec![account_id(0), account_id(1)], ..query("say", 100) };
    assert_eq!(seqs(store, without).await, [2, 3, 5, 8], "3 is heard by all");
    let many = ChatQuery { without: (10..5000).map(account_id).collect(), ..query("say", 100) };
    assert_eq!(seqs(store, many).await.len(), 9);
}

pub async fn a_place_never_moves_back(store: &Store) {
    let place = || async { store.chat_cursor("e1", &room()).await.expect("a place") };
    assert_eq!(place().await, 0);
    for (seq, expected) in [(5, 5), (3, 5), (6, 6)] {
        read(store, &room(), seq).await;
        assert_eq!(place().await, expected);
    }
    assert_eq!(store.chat_cursor("e2", &room()).await.expect("a place"), 0);
    let world: Audience = "world.w".parse().expect("an audience");
    read(store, &world, 0).await;
    let all = store.chat_cursors("e1", None, 1).await.expect("a page");
    assert_eq!(all, [(room(), 6)]);
    assert_eq!(store.chat_cursors("e1", Some(&room()), 9).await.expect("a page"), [(world, 0)]);
}

/// More lines than are kept together, in one writing and in many.
pub async fn many_lines_are_all_there(store: &Store) {
    said(store, "e1", 1..=500).await;
    for seq in 501..=600 {
        said(store, "e1", seq..=seq).await;
    }
    let all: Vec<u64> = (1..=600).collect();
    for (limit, after) in [(1_000, 0), (600, 0), (599, 1), (150, 450), (1, 599)] {
        assert_eq!(seqs(store, query("say", limit)).await, all[after..]);
    }
    let through = Some(Stamp { epoch: "e1".to_owned(), seq: 333 });
    assert_eq!(seqs(store, ChatQuery { through, ..query("say", 3) }).await, [331, 332, 333]);
    let mute = ChatQuery { without: vec![account_id(0), account_id(1)], ..query("say", 3) };
    assert_eq!(seqs(store, mute).await, [593, 596, 599]);
    // Of the newest lines, each written by itself, nearly all are by one who is left out.
    let mute = ChatQuery { without: vec![account_id(2)], ..query("say", 1) };
    for seq in 601..=1_000 {
        let by_one = ChatLine { from_account: account_id(2).to_string(), ..line(seq) };
        let log = ChatLog { audience: room(), through: seq, lines: vec![by_one] };
        store.record_chat("e1", &[log]).await.expect("kept");
    }
    assert_eq!(seqs(store, mute).await, [600]);
}

pub async fn history_is_pruned(store: &Store) {
    for seq in 1..=9 {
        said(store, "e1", seq..=seq).await;
    }
    store.prune_chat(NOW + 3, 100).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, [3, 4, 5, 6, 7, 8, 9]);
    store.prune_chat(NOW, 4).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, [6, 7, 8, 9]);
    let gone: Audience = format!("player.{}", super::character_id(7)).parse().expect("an audience");
    read(store, &gone, 5).await;
    store.prune_chat(NOW, 4).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, [6, 7, 8, 9]);
    assert_eq!(store.chat_cursor("e1", &gone).await.expect("a place"), 0, "there is no such character");
    assert_eq!(store.chat_cursor("e1", &room()).await.expect("a place"), 9);
    // What was written together stays until the last of it may go.
    said(store, "e1", 10..=20).await;
    store.prune_chat(NOW + 15, 100).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, (10..=20).collect::<Vec<_>>());
    store.prune_chat(NOW + 21, 100).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, [0; 0]);
    said(store, "e1", 21..=22).await;
    assert_eq!(seqs(store, query("say", 100)).await, [21, 22]);
    // By number too; and a line from the future keeps no other.
    said(store, "e1", 23..=30).await;
    store.prune_chat(NOW, 9).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, (21..=30).collect::<Vec<_>>());
    store.prune_chat(NOW, 8).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, (23..=30).collect::<Vec<_>>());
    let ahead = ChatLine { time_ms: NOW + 1_000_000, ..line(31) };
    let log = ChatLog { audience: room(), through: 31, lines: vec![ahead] };
    store.record_chat("e1", &[log]).await.expect("kept");
    said(store, "e1", 32..=32).await;
    store.prune_chat(NOW + 100, 100).await.expect("pruned");
    assert_eq!(seqs(store, query("say", 100)).await, [31]);
}

pub async fn places_without_lines_are_forgotten(store: &Store) {
    let party = |n: u128| -> Audience { Audience::Party(tidings_protocol::PartyId::new(1, n)) };
    said(store, "e1", 1..=9).await;
    read(store, &party(1), 0).await;
    read(store, &party(2), 3).await;
    let asked = [room(), party(1), party(3)];
    assert_eq!(store.forget_chat(&asked).await.expect("an answer"), [party(1)]);
    let left = store.chat_cursors("e1", None, 9).await.expect("a page");
    assert_eq!(left, [(party(2), 3), (room(), 9)], "the room has lines, and of the other nobody asked");
}
