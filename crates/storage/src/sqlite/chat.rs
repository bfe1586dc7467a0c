//! Chat history in SQLite.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _};
use tidings_protocol::Audience;

use super::{Sqlite, list, number, page, parsed, sequence};
use crate::Result;
use crate::backend::{Answer, Chat};
use crate::types::{ChatLine, ChatQuery};

/// Lines of one statement: each statement is a way to the connection's thread and back, which costs more than a row.
const LINES_A_STATEMENT: usize = 64;

fn insert_lines<'a>(epoch: &'a str, lines: &'a [ChatLine]) -> QueryBuilder<sqlx::Sqlite> {
    let mut sql = QueryBuilder::new(
        "INSERT INTO chat (epoch, seq, audience, channel, time_ms, from_id, from_name, from_account, always, body) ",
    );
    sql.push_values(lines, |mut row, line| {
        row.push_bind(epoch)
            .push_bind(number(line.seq))
            .push_bind(line.audience.to_string())
            .push_bind(&line.channel)
            .push_bind(line.time_ms)
            .push_bind(&line.from_id)
            .push_bind(&line.from_name)
            .push_bind(&line.from_account)
            .push_bind(line.always)
            .push_bind(&line.body);
    });
    sql.push(" ON CONFLICT (epoch, seq) DO NOTHING");
    sql
}

fn read(row: &SqliteRow) -> Result<ChatLine> {
    Ok(ChatLine {
        seq: sequence(row.try_get("seq")?),
        audience: parsed(row, "audience")?,
        channel: row.try_get("channel")?,
        time_ms: row.try_get("time_ms")?,
        from_id: row.try_get("from_id")?,
        from_name: row.try_get("from_name")?,
        from_account: row.try_get("from_account")?,
        always: row.try_get("always")?,
        body: row.try_get("body")?,
    })
}

impl Chat for Sqlite {
    fn record_chat<'a>(
        &'a self,
        epoch: &'a str,
        lines: &'a [ChatLine],
        cursors: &'a [(Audience, u64)],
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            for lines in lines.chunks(LINES_A_STATEMENT) {
                let mut insert = insert_lines(epoch, lines);
                insert.build().persistent(lines.len() == LINES_A_STATEMENT).execute(&mut *tx).await?;
            }
            if !cursors.is_empty() {
                let cursors = cursors.iter().map(|(audience, seq)| (audience.to_string(), number(*seq)));
                sqlx::query(
                    "INSERT INTO chat_cursors (audience, epoch, seq) \
                     SELECT value ->> 0, ?, value ->> 1 FROM json_each(?) WHERE true \
                     ON CONFLICT (audience) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq \
                     WHERE chat_cursors.epoch <> excluded.epoch OR chat_cursors.seq < excluded.seq",
                )
                .bind(epoch)
                .bind(list(cursors))
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        })
    }

    fn chat_lines<'a>(&'a self, query: &'a ChatQuery) -> Answer<'a, Vec<ChatLine>> {
        Box::pin(async move {
            let mut sql = QueryBuilder::<sqlx::Sqlite>::new(
                "SELECT seq, audience, channel, time_ms, from_id, from_name, from_account, always, body \
                 FROM chat WHERE audience = ",
            );
            sql.push_bind(query.audience.to_string());
            if !query.channel.is_empty() {
                sql.push(" AND channel = ").push_bind(&query.channel);
            }
            if let Some(through) = &query.through {
                sql.push(" AND (epoch <> ").push_bind(&through.epoch);
                sql.push(" OR seq <= ").push_bind(through.number()).push(")");
            }
            // An account mutes at most a page of others.
            if !query.without.is_empty() {
                sql.push(" AND (always = 1 OR from_account NOT IN (");
                let mut list = sql.separated(", ");
                for account in query.without.iter().take(crate::PAGE_MAX) {
                    list.push_bind(account.to_string());
                }
                sql.push("))");
            }
            sql.push(" ORDER BY id DESC LIMIT ").push_bind(page(query.limit));
            let rows = sql.build().persistent(query.without.is_empty()).fetch_all(&self.reader).await?;
            rows.iter().rev().map(read).collect()
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

    fn prune_chat(&self, before_ms: i64, most: u64) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let old =
                sqlx::query("DELETE FROM chat WHERE time_ms < ?").bind(before_ms).execute(&mut *tx).await?;
            let above = sqlx::query(
                "DELETE FROM chat WHERE id <= (SELECT id FROM chat ORDER BY id DESC LIMIT 1 OFFSET ?)",
            )
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
            tx.commit().await?;
            Ok(old.rows_affected() + above.rows_affected())
        })
    }

    fn forget_chat<'a>(&'a self, audiences: &'a [Audience]) -> Answer<'a, Vec<Audience>> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let forgotten = sqlx::query(
                "DELETE FROM chat_cursors WHERE audience IN (SELECT value FROM json_each(?)) \
                 AND NOT EXISTS (SELECT 1 FROM chat WHERE chat.audience = chat_cursors.audience) \
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
