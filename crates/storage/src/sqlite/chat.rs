//! Chat history in SQLite.
//!
//! Lines of one log and channel that come together are one row, a *piece*: a row costs a few microseconds whatever is
//! in it, and a loaded world says some ten thousand lines a second.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection};
use tidings_protocol::Audience;

use super::{Sqlite, list, number, page, parsed, sequence, unreadable};
use crate::backend::{Answer, Chat};
use crate::types::{ChatLine, ChatLog, ChatQuery};
use crate::{PAGE_MAX, Result};

/// Lines of a piece at most: what is read and thrown away where a few lines are asked for.
const PIECE_LINES_MAX: usize = 64;
/// Pieces of one statement: each statement is a way to the connection's thread and back, which costs more than a row.
const PIECES_A_STATEMENT: usize = 32;
/// Pieces read at once.
const PIECES_A_PAGE: usize = 256;
/// Pages of pieces that are looked through for an answer, where most of it is by authors that are left out.
const PAGES_MAX: usize = 16;

/// A row of `chat_pieces`.
struct Piece<'a> {
    id: i64,
    audience: String,
    channel: &'a str,
    last_ms: i64,
    lines: Vec<u8>,
}

/// The pieces of what is new in these logs, numbered from the one after `written`.
fn pieces<'a>(logs: &'a [ChatLog], places: &HashMap<String, u64>, written: i64) -> Vec<Piece<'a>> {
    let (mut pieces, mut id) = (Vec::new(), written);
    for log in logs.iter().filter(|log| !log.lines.is_empty()) {
        let audience = log.audience.to_string();
        let place = places.get(&audience).copied().unwrap_or(0);
        let mut channels: BTreeMap<&str, Vec<&ChatLine>> = BTreeMap::new();
        for line in log.lines.iter().filter(|line| line.seq > place) {
            channels.entry(&line.channel).or_default().push(line);
        }
        for (channel, lines) in channels {
            for lines in lines.chunks(PIECE_LINES_MAX) {
                id += i64::try_from(lines.len()).expect("a piece is small");
                let last_ms = lines.last().map_or(0, |line| line.time_ms);
                pieces.push(Piece { id, audience: audience.clone(), channel, last_ms, lines: packed(lines) });
            }
        }
    }
    pieces
}

fn packed(lines: &[&ChatLine]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(lines.iter().map(|line| line.encoded_len() + 3).sum());
    for line in lines {
        line.encode_length_delimited(&mut packed).expect("a vector grows");
    }
    packed
}

fn unpacked(row: &SqliteRow) -> Result<Vec<ChatLine>> {
    let (mut packed, mut lines): (&[u8], _) = (row.try_get("lines")?, Vec::new());
    while !packed.is_empty() {
        lines.push(ChatLine::decode_length_delimited(&mut packed).map_err(|_| unreadable("lines"))?);
    }
    Ok(lines)
}

/// Up to where these logs were read.
async fn places(db: &mut SqliteConnection, epoch: &str, logs: &[ChatLog]) -> Result<HashMap<String, u64>> {
    let rows = sqlx::query(
        "SELECT audience, seq FROM chat_cursors WHERE epoch = ? AND audience IN (SELECT value FROM json_each(?))",
    )
    .bind(epoch)
    .bind(list(logs.iter().map(|log| log.audience.to_string())))
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("audience")?, sequence(row.try_get("seq")?)))).collect()
}

async fn insert(db: &mut SqliteConnection, epoch: &str, pieces: &[Piece<'_>]) -> Result<()> {
    for pieces in pieces.chunks(PIECES_A_STATEMENT) {
        let mut sql = QueryBuilder::<sqlx::Sqlite>::new(
            "INSERT INTO chat_pieces (id, epoch, audience, channel, last_ms, lines) ",
        );
        sql.push_values(pieces, |mut row, piece| {
            row.push_bind(piece.id)
                .push_bind(epoch)
                .push_bind(&piece.audience)
                .push_bind(piece.channel)
                .push_bind(piece.last_ms)
                .push_bind(&piece.lines[..]);
        });
        sql.build().persistent(pieces.len() == PIECES_A_STATEMENT).execute(&mut *db).await?;
    }
    Ok(())
}

/// Looks through pieces from the newest to the oldest.
struct Search<'a> {
    query: &'a ChatQuery,
    without: HashSet<String>,
    limit: usize,
    /// The newest first.
    found: Vec<ChatLine>,
}

impl<'a> Search<'a> {
    fn new(query: &'a ChatQuery) -> Self {
        let without = query.without.iter().map(ToString::to_string).collect();
        Self { query, without, limit: query.limit.min(PAGE_MAX), found: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
    }

    fn take(&mut self, row: &SqliteRow) -> Result<()> {
        let epoch: &str = row.try_get("epoch")?;
        let through = self.query.through.as_ref().filter(|stamp| stamp.epoch == epoch);
        for line in unpacked(row)?.into_iter().rev() {
            let asked = through.is_none_or(|stamp| line.seq <= stamp.seq);
            if asked && (line.always || !self.without.contains(&line.from_account)) {
                self.found.push(line);
            }
        }
        Ok(())
    }

    /// Oldest first.
    fn newest(mut self) -> Vec<ChatLine> {
        self.found.truncate(self.limit);
        self.found.reverse();
        self.found
    }
}

impl Sqlite {
    async fn page_of_pieces(&self, query: &ChatQuery, before: i64, limit: usize) -> Result<Vec<SqliteRow>> {
        let rows = sqlx::query(
            "SELECT id, epoch, lines FROM chat_pieces WHERE audience = ? AND channel = ? AND id < ? \
             ORDER BY id DESC LIMIT ?",
        )
        .bind(query.audience.to_string())
        .bind(&query.channel)
        .bind(before)
        .bind(page(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows)
    }
}

impl Chat for Sqlite {
    fn record_chat<'a>(&'a self, epoch: &'a str, logs: &'a [ChatLog]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let written: i64 = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM chat_pieces")
                .fetch_one(&mut *tx)
                .await?;
            let places = places(&mut tx, epoch, logs).await?;
            insert(&mut tx, epoch, &pieces(logs, &places, written)).await?;
            sqlx::query(
                "INSERT INTO chat_cursors (audience, epoch, seq) \
                 SELECT value ->> 0, ?, value ->> 1 FROM json_each(?) WHERE true \
                 ON CONFLICT (audience) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq \
                 WHERE chat_cursors.epoch <> excluded.epoch OR chat_cursors.seq < excluded.seq",
            )
            .bind(epoch)
            .bind(list(logs.iter().map(|log| (log.audience.to_string(), number(log.through)))))
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
    }

    fn chat_lines<'a>(&'a self, query: &'a ChatQuery) -> Answer<'a, Vec<ChatLine>> {
        Box::pin(async move {
            let (mut search, mut before) = (Search::new(query), i64::MAX);
            // A piece has one line at least: of the few that are mostly asked for no more pieces are needed.
            let mut limit = query.limit.clamp(1, PIECES_A_PAGE);
            for _ in 0..PAGES_MAX {
                if search.is_full() {
                    break;
                }
                let rows = self.page_of_pieces(query, before, limit).await?;
                let Some(last) = rows.last() else { break };
                before = last.try_get("id")?;
                for row in &rows {
                    search.take(row)?;
                }
                limit = PIECES_A_PAGE;
            }
            Ok(search.newest())
        })
    }

    fn chat_cursor<'a>(&'a self, epoch: &'a str, audience: &'a Audience) -> Answer<'a, u64> {
        Box::pin(async move {
            let seq: Option<i64> =
                sqlx::query_scalar("SELECT seq FROM chat_cursors WHERE audience = ? AND epoch = ?")
                    .bind(audience.to_string())
                    .bind(epoch)
                    .fetch_optional(&self.reader)
                    .await?;
            Ok(seq.map_or(0, sequence))
        })
    }

    fn chat_cursors<'a>(
        &'a self,
        epoch: &'a str,
        after: Option<&'a Audience>,
        limit: usize,
    ) -> Answer<'a, Vec<(Audience, u64)>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT audience, seq FROM chat_cursors WHERE epoch = ? AND audience > ? ORDER BY audience LIMIT ?",
            )
            .bind(epoch)
            .bind(after.map(ToString::to_string).unwrap_or_default())
            .bind(page(limit))
            .fetch_all(&self.reader)
            .await?;
            rows.iter().map(|row| Ok((parsed(row, "audience")?, sequence(row.try_get("seq")?)))).collect()
        })
    }

    fn prune_chat(&self, before_ms: i64, most: u64) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            sqlx::query("DELETE FROM chat_pieces WHERE last_ms < ?")
                .bind(before_ms)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM chat_pieces WHERE id <= (SELECT max(id) FROM chat_pieces) - ?")
                .bind(number(most))
                .execute(&mut *tx)
                .await?;
            // Places in the logs of characters that are no more.
            sqlx::query(
                "DELETE FROM chat_cursors WHERE audience LIKE 'player.%' \
                 AND substr(audience, 8) NOT IN (SELECT id FROM characters)",
            )
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
    }

    fn forget_chat<'a>(&'a self, audiences: &'a [Audience]) -> Answer<'a, Vec<Audience>> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let forgotten = sqlx::query(
                "DELETE FROM chat_cursors WHERE audience IN (SELECT value FROM json_each(?)) \
                 AND NOT EXISTS (SELECT 1 FROM chat_pieces WHERE chat_pieces.audience = chat_cursors.audience) \
                 RETURNING audience",
            )
            .bind(list(audiences.iter().map(ToString::to_string)))
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            forgotten.iter().map(|row| parsed(row, "audience")).collect()
        })
    }
}
