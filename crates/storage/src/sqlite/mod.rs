//! SQLite: one connection writes, a few read. WAL lets them run side by side; `synchronous = FULL` means that what
//! a call has answered survives a loss of power.
//!
//! What zones leave ([`apply_all`](crate::Moderation::apply_all)) goes by a second writer that does not wait for the disk: a
//! zone's log holds it durably until a checkpoint is saved, and that save, like any write of the first, syncs all
//! that was written before it. So a world of walkers does not cost an fsync a step.

mod accounts;
mod characters;
mod chat;
mod families;
mod guests;
mod moderation;
mod reads;
mod system;
mod together;

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, SqlSafeStr as _, Transaction};

use self::together::Together;
use crate::backend::PAGE_MAX;
use crate::error::{Error, ErrorKind};
use crate::{Result, types::Stamp};

/// Readers beside the writer: reads are short, more would only share the same two or three cores.
const READERS: u32 = 3;
/// How long a call waits for its turn, or for another process that holds the file, before `Overloaded`: below the
/// deadline of a service call.
const WAIT: Duration = Duration::from_secs(4);

/// In order; one that was released is never changed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "start", include_str!("../../migrations/sqlite/0001_start.sql")),
    (2, "chat pieces", include_str!("../../migrations/sqlite/0002_chat_pieces.sql")),
];

/// The backend.
pub struct Sqlite {
    writer: SqlitePool,
    /// Writes what is durable elsewhere.
    relaxed: SqlitePool,
    reader: SqlitePool,
    guests: Together<guests::Guest>,
    reads: reads::Reads,
    crowds: Option<reads::CrowdReader>,
}

impl Sqlite {
    /// Opens or makes the file.
    pub async fn open(path: &Path) -> Result<Self> {
        make_private(path)?;
        let options = options(SqliteConnectOptions::new().filename(path).create_if_missing(true))
            .journal_mode(SqliteJournalMode::Wal);
        let writer = pool(1).connect_with(options.clone()).await.map_err(|error| opening(path, error))?;
        migrate(&writer, MIGRATIONS).await?;
        let options = options.create_if_missing(false);
        let relaxed = pool(1).connect_with(options.clone().synchronous(SqliteSynchronous::Normal)).await?;
        let options = options.read_only(true);
        let crowds = Some(reads::CrowdReader::new(options.clone()));
        let reader = pool(READERS).connect_with(options).await?;
        let (guests, reads) = Default::default();
        Ok(Self { writer, relaxed, reader, guests, reads, crowds })
    }

    /// In memory: the one connection is the database.
    pub async fn memory() -> Result<Self> {
        let options = options(SqliteConnectOptions::new().in_memory(true));
        let writer =
            pool(1).min_connections(1).idle_timeout(None).max_lifetime(None).connect_with(options).await?;
        migrate(&writer, MIGRATIONS).await?;
        let (guests, reads) = Default::default();
        let (reader, relaxed) = (writer.clone(), writer.clone());
        Ok(Self { reader, relaxed, writer, guests, reads, crowds: None })
    }

    /// A transaction that takes the write lock at once: none fails half way because another came first.
    async fn begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The same, of what is durable elsewhere.
    async fn begin_relaxed(&self) -> Result<Transaction<'static, sqlx::Sqlite>> {
        Ok(self.relaxed.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WAIT)
        .pragma("temp_store", "memory")
        .statement_cache_capacity(128)
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(size).acquire_timeout(WAIT).test_before_acquire(false)
}

/// The file holds hashes and a signing key: nobody else on the machine reads it.
fn make_private(path: &Path) -> Result<()> {
    let mut open = std::fs::OpenOptions::new();
    open.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    open.open(path).map(drop).map_err(|error| opening(path, error.into()))
}

fn opening(path: &Path, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Connection, format!("the database {} cannot be opened", path.display()))
        .because(error)
}

async fn migrate(pool: &SqlitePool, migrations: &[(i64, &'static str, &'static str)]) -> Result<()> {
    let migrations = migrations.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect()).run(pool).await.map_err(|error| {
        let what = match &error {
            MigrateError::VersionMissing(_) => "the database was made by a newer version of this program",
            MigrateError::VersionMismatch(_) => "the database was made by another build of this program",
            _ => "the database's tables cannot be brought up to date",
        };
        Error::new(ErrorKind::Schema, what).because(error)
    })
}

/// A limit as SQL takes it, never above a page.
fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_MAX)).expect("a page is small")
}

/// A list as a statement takes it: `json_each` gives each with its place.
fn list<T: serde::Serialize>(items: impl Iterator<Item = T>) -> String {
    let items: Vec<T> = items.collect();
    serde_json::to_string(&items).expect("texts and numbers are JSON")
}

/// A sequence as SQL takes it; sequences stay below 2^63.
fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn sequence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A column in the form that its text stands for.
fn parsed<T: std::str::FromStr>(row: &SqliteRow, column: &str) -> Result<T> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| unreadable(column))
}

fn unreadable(column: &str) -> Error {
    Error::new(ErrorKind::Schema, format!("the stored column '{column}' does not have the expected form"))
}

/// `0` in a column is no end.
fn until(ms: i64) -> Option<i64> {
    (ms != 0).then_some(ms)
}

impl Stamp {
    fn number(&self) -> i64 {
        number(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use tidings_protocol::Audience;

    use super::*;
    use crate::backend::Chat as _;
    use crate::types::{ChatLine, ChatQuery};

    /// Each line was a row once, which the second migration packs by itself.
    #[tokio::test]
    async fn lines_of_before_are_still_there() {
        let (folder, audience) = (tempfile::tempdir().expect("a folder"), "room.a_b");
        let path = folder.path().join("tidings.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let old = pool(1).connect_with(options).await.expect("a database");
        migrate(&old, &MIGRATIONS[..1]).await.expect("its first form");
        let names = ["", "Ann", "Zoë ☃"];
        let line = |n: u8| ChatLine {
            seq: u64::from(n) * 0x1_2345_6789,
            time_ms: i64::from(n) * 1_763_700_000_000 - 5,
            channel: if n.is_multiple_of(2) { "say" } else { "" }.to_owned(),
            from_id: "0a".repeat(usize::from(n)),
            from_name: names[usize::from(n % 3)].to_owned(),
            from_account: "f".repeat(130),
            always: n == 3,
            body: vec![n; usize::from(n) * 99],
        };
        for line in (1..=200).map(line) {
            sqlx::query(
                "INSERT INTO chat (epoch, seq, audience, channel, time_ms, from_id, from_name, from_account, always, \
                 body) VALUES ('e', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(number(line.seq))
            .bind(audience)
            .bind(line.channel)
            .bind(line.time_ms)
            .bind(line.from_id)
            .bind(line.from_name)
            .bind(line.from_account)
            .bind(line.always)
            .bind(line.body)
            .execute(&old)
            .await
            .expect("kept");
        }
        old.close().await;
        let now = Sqlite::open(&path).await.expect("its present form");
        let audience: Audience = audience.parse().expect("an audience");
        for channel in ["say", ""] {
            let (audience, channel) = (audience.clone(), channel.to_owned());
            let query = ChatQuery { audience, channel, without: vec![], through: None, limit: 500 };
            let kept: Vec<_> = (1..=200).map(line).filter(|line| line.channel == query.channel).collect();
            let found = now.chat_lines(&query).await.expect("lines");
            assert_eq!(found.len(), kept.len());
            let differ = found.iter().zip(&kept).find(|(found, kept)| found != kept);
            assert!(differ.is_none(), "{differ:?}");
        }
    }
}
