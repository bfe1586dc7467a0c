//! What zones' commits leave, mutes and the audit log, in SQLite.
//!
//! Every statement of `apply_all` does nothing where its account or character is gone, and nothing where a newer commit
//! of the same epoch was kept already: so a replay is harmless, in any order of the zones.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tidings_protocol::{AccountId, CharacterId, RoomId};

use super::reads::{BroughtBy, MutesOf};
use super::{Sqlite, list, number, page, parsed, until};
use crate::Result;
use crate::backend::{Answer, ENDED_MUTES_MAX, Moderation, PAGE_MAX};
use crate::types::{AuditEntry, Brought, Mute, MuteMark, Record, Stamp};

/// Ended mutes and silences are kept this long: longer than a zone's log reaches back to its checkpoint.
const TOMBSTONE_MS: i64 = 24 * 60 * 60 * 1000;

/// The mutes of a list of accounts that hold at a time, so many of each.
pub(super) const MUTES_EACH: &str = "SELECT * FROM ( \
     SELECT each.key AS place, m.account, m.target, m.channel, m.name, m.until_ms, m.reason, \
     ROW_NUMBER() OVER (PARTITION BY each.key ORDER BY m.name, m.target, m.channel) AS nth \
     FROM json_each(?) each CROSS JOIN mutes m ON m.account = each.value \
     WHERE m.ended = 0 AND (m.until_ms = 0 OR m.until_ms > ?)) WHERE nth <= ? ORDER BY place, nth";

/// What is kept of the mutes of a list of accounts: so many of each that hold at a time, by name, and so many that do not.
pub(super) const MARKS_EACH: &str = "SELECT * FROM ( \
     SELECT *, ROW_NUMBER() OVER (PARTITION BY place, over ORDER BY seq DESC) AS nth FROM ( \
     SELECT each.key AS place, m.account, m.target, m.channel, m.name, m.until_ms, m.reason, m.epoch, m.seq, \
     (m.ended <> 0 OR (m.until_ms <> 0 AND m.until_ms <= ?)) AS over \
     FROM json_each(?) each CROSS JOIN mutes m ON m.account = each.value)) \
     WHERE nth <= CASE over WHEN 0 THEN ? ELSE ? END ORDER BY place, over, name, target, channel";

/// Until when those of a list of accounts may not speak that are silenced.
pub(super) const SILENCES_EACH: &str = "SELECT each.key AS place, s.until_ms FROM json_each(?) each \
     CROSS JOIN sanctions s ON s.account = each.value AND s.kind = 'silence' AND s.ended = 0";

pub(super) fn read_mute(row: &SqliteRow) -> Result<Mute> {
    let target: &str = row.try_get("target")?;
    Ok(Mute {
        account: parsed(row, "account")?,
        target: if target.is_empty() { None } else { Some(parsed(row, "target")?) },
        channel: row.try_get("channel")?,
        name: row.try_get("name")?,
        until_ms: until(row.try_get("until_ms")?),
        reason: row.try_get("reason")?,
    })
}

pub(super) fn read_mark(row: &SqliteRow) -> Result<MuteMark> {
    let seq: i64 = row.try_get("seq")?;
    let stamp = Stamp { epoch: row.try_get("epoch")?, seq: u64::try_from(seq).unwrap_or(0) };
    Ok(MuteMark { mute: read_mute(row)?, ended: row.try_get("over")?, stamp })
}

/// Where characters are: of each the last one, all by one statement.
async fn places(to: &mut SqliteConnection, commits: &[(Stamp, Vec<Record>)]) -> Result<()> {
    let mut last: HashMap<CharacterId, (&Stamp, &RoomId, &str)> = HashMap::new();
    for (stamp, record) in each(commits) {
        let Record::Character { id, room, state } = record else { continue };
        let older =
            last.get(id).is_some_and(|(known, ..)| known.epoch == stamp.epoch && known.seq > stamp.seq);
        if !older {
            last.insert(*id, (stamp, room, state));
        }
    }
    if last.is_empty() {
        return Ok(());
    }
    let rows = last.into_iter().map(|(id, (stamp, room, state))| {
        (id.to_string(), room.as_str(), state, stamp.epoch.as_str(), stamp.number())
    });
    sqlx::query(
        "UPDATE characters SET room = each.value ->> 1, state = each.value ->> 2, epoch = each.value ->> 3, \
         seq = each.value ->> 4 FROM json_each(?) each WHERE characters.id = each.value ->> 0 \
         AND (characters.epoch <> each.value ->> 3 OR characters.seq <= each.value ->> 4)",
    )
    .bind(list(rows))
    .execute(to)
    .await?;
    Ok(())
}

fn each(commits: &[(Stamp, Vec<Record>)]) -> impl Iterator<Item = (&Stamp, &Record)> {
    commits.iter().flat_map(|(stamp, records)| records.iter().map(move |record| (stamp, record)))
}

async fn mute(to: &mut SqliteConnection, stamp: &Stamp, mute: &Mute, removed: bool) -> Result<()> {
    sqlx::query(
        "INSERT INTO mutes (account, target, channel, name, until_ms, reason, ended, epoch, seq) \
         SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM accounts WHERE id = ? \
         ON CONFLICT (account, target, channel) DO UPDATE SET name = excluded.name, until_ms = excluded.until_ms, \
         reason = excluded.reason, ended = excluded.ended, epoch = excluded.epoch, seq = excluded.seq \
         WHERE mutes.epoch <> excluded.epoch OR mutes.seq <= excluded.seq",
    )
    .bind(mute.target.map(|target| target.to_string()).unwrap_or_default())
    .bind(&mute.channel)
    .bind(&mute.name)
    .bind(mute.until_ms.unwrap_or(0))
    .bind(&mute.reason)
    .bind(removed)
    .bind(&stamp.epoch)
    .bind(stamp.number())
    .bind(mute.account.to_string())
    .execute(to)
    .await?;
    Ok(())
}

async fn sanction(
    to: &mut SqliteConnection,
    stamp: &Stamp,
    account: AccountId,
    kind: &str,
    sanction: Option<(i64, &str)>,
) -> Result<()> {
    let (until_ms, reason) = sanction.unwrap_or_default();
    sqlx::query(
        "INSERT INTO sanctions (account, kind, until_ms, reason, ended, epoch, seq) \
         SELECT id, ?, ?, ?, ?, ?, ? FROM accounts WHERE id = ? \
         ON CONFLICT (account, kind) DO UPDATE SET until_ms = excluded.until_ms, reason = excluded.reason, \
         ended = excluded.ended, epoch = excluded.epoch, seq = excluded.seq \
         WHERE sanctions.epoch <> excluded.epoch OR sanctions.seq <= excluded.seq",
    )
    .bind(kind)
    .bind(until_ms)
    .bind(reason)
    .bind(sanction.is_none())
    .bind(&stamp.epoch)
    .bind(stamp.number())
    .bind(account.to_string())
    .execute(to)
    .await?;
    Ok(())
}

async fn audit(to: &mut SqliteConnection, entry: &AuditEntry) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (time_ms, account, name, action, target, detail) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    )
    .bind(entry.time_ms)
    .bind(&entry.account)
    .bind(&entry.name)
    .bind(&entry.action)
    .bind(&entry.target)
    .bind(&entry.detail)
    .execute(to)
    .await?;
    Ok(())
}

impl Moderation for Sqlite {
    fn apply_all<'a>(&'a self, commits: &'a [(Stamp, Vec<Record>)]) -> Answer<'a, ()> {
        Box::pin(async move {
            if commits.iter().all(|(_, records)| records.is_empty()) {
                return Ok(());
            }
            let mut tx = self.begin_relaxed().await?;
            places(&mut tx, commits).await?;
            for (stamp, record) in each(commits) {
                match record {
                    Record::Character { .. } => {}
                    Record::Mute { mute: one, removed } => mute(&mut tx, stamp, one, *removed).await?,
                    Record::Silence(account, until_ms, reason) => {
                        let made = until_ms.map(|ms| (ms, reason.as_str()));
                        sanction(&mut tx, stamp, *account, "silence", made).await?;
                    }
                    Record::Ban(account, ban) => {
                        let made = ban.as_ref().map(|ban| (ban.until_ms.unwrap_or(0), ban.reason.as_str()));
                        sanction(&mut tx, stamp, *account, "ban", made).await?;
                    }
                    Record::Audit(entry) => audit(&mut tx, entry).await?,
                }
            }
            Ok(tx.commit().await?)
        })
    }

    fn mutes(&self, account: AccountId, now_ms: i64) -> Answer<'_, Vec<Mute>> {
        Box::pin(self.reads.mutes.call(self, MutesOf(account, now_ms)))
    }

    fn mute_marks<'a>(&'a self, accounts: &'a [AccountId], now_ms: i64) -> Answer<'a, Vec<MuteMark>> {
        Box::pin(async move {
            let rows = sqlx::query(MARKS_EACH)
                .bind(now_ms)
                .bind(list(accounts.iter().map(AccountId::to_string)))
                .bind(page(PAGE_MAX))
                .bind(page(ENDED_MUTES_MAX))
                .fetch_all(&self.reader)
                .await?;
            rows.iter().map(read_mark).collect()
        })
    }

    fn brought(&self, account: AccountId, now_ms: i64) -> Answer<'_, Brought> {
        Box::pin(self.reads.brought.call(self, BroughtBy(account, now_ms)))
    }

    fn prune_mutes(&self, now_ms: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            // First they end, then their tombstones go: `until_ms` of an ended one says when.
            let over =
                sqlx::query("UPDATE mutes SET ended = 1 WHERE ended = 0 AND until_ms <> 0 AND until_ms <= ?")
                    .bind(now_ms)
                    .execute(&mut *tx)
                    .await?;
            sqlx::query("UPDATE mutes SET until_ms = ? WHERE ended = 1 AND (until_ms = 0 OR until_ms > ?)")
                .bind(now_ms)
                .bind(now_ms)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM mutes WHERE ended = 1 AND until_ms < ?")
                .bind(now_ms - TOMBSTONE_MS)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "UPDATE sanctions SET ended = 1 WHERE kind = 'silence' AND ended = 0 AND until_ms <= ?",
            )
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(over.rows_affected())
        })
    }

    fn audit<'a>(&'a self, entry: &'a AuditEntry) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writer = self.writer.acquire().await?;
            audit(&mut writer, entry).await
        })
    }

    fn prune_audit(&self, before_ms: i64, most: u64) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let old =
                sqlx::query("DELETE FROM audit WHERE time_ms < ?").bind(before_ms).execute(&mut *tx).await?;
            // Ids have no gaps, so that nothing is counted.
            let above = sqlx::query("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?")
                .bind(number(most))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(old.rows_affected() + above.rows_affected())
        })
    }

    fn audit_page(&self, before: Option<i64>, limit: usize) -> Answer<'_, Vec<(i64, AuditEntry)>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT id, time_ms, account, name, action, target, detail FROM audit \
                 WHERE id < ? ORDER BY id DESC LIMIT ?",
            )
            .bind(before.unwrap_or(i64::MAX))
            .bind(page(limit))
            .fetch_all(&self.reader)
            .await?;
            let entry = |row: &SqliteRow| {
                Ok((
                    row.try_get("id")?,
                    AuditEntry {
                        time_ms: row.try_get("time_ms")?,
                        account: row.try_get("account")?,
                        name: row.try_get("name")?,
                        action: row.try_get("action")?,
                        target: row.try_get("target")?,
                        detail: row.try_get("detail")?,
                    },
                ))
            };
            rows.iter().map(entry).collect()
        })
    }
}
