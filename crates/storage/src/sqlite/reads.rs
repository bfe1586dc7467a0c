//! Reads that a crowd asks at the same time are one statement: what is asked goes in as a list, and each row says by
//! its place for whom it is.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tidings_protocol::{AccountId, CharacterId};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::families::Opening;
use super::together::{Call, Together};
use super::{Sqlite, accounts, characters, families, list, moderation, page, unreadable};
use crate::Result;
use crate::backend::{ENDED_MUTES_MAX, PAGE_MAX};
use crate::types::{Account, Brought, Character, Mute, SignIn};

/// Reads done at once: a millisecond of one reader.
const TOGETHER_MAX: usize = 256;

/// Those that wait, by what they ask.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) sign_ins: Together<SignInBy>,
    pub(super) standing: Together<Standing>,
    pub(super) accounts: Together<AccountBy>,
    pub(super) characters: Together<CharacterBy>,
    pub(super) openings: Together<OpeningBy>,
    pub(super) mutes: Together<MutesOf>,
    pub(super) brought: Together<BroughtBy>,
}

/// The connection that reads for crowds. One of a pool would be asked whether it lives each time it is given back,
/// which costs as much as a read.
pub(super) struct CrowdReader {
    options: SqliteConnectOptions,
    connection: Arc<Mutex<Option<SqliteConnection>>>,
}

impl CrowdReader {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, connection: Arc::default() }
    }

    /// The connection, for one; it is opened where there is none, or the last read failed.
    async fn take(&self) -> Result<Reader> {
        let mut connection = Arc::clone(&self.connection).lock_owned().await;
        if connection.is_none() {
            *connection = Some(SqliteConnection::connect_with(&self.options).await?);
        }
        Ok(Reader::Own(connection))
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "a connection of the database was not closed well");
        }
    }
}

/// What a crowd's read is done with.
pub(super) enum Reader {
    Own(OwnedMutexGuard<Option<SqliteConnection>>),
    /// A database in memory has one connection, for everything.
    Pooled(PoolConnection<sqlx::Sqlite>),
}

impl Reader {
    async fn of(db: &Sqlite) -> Result<Self> {
        match &db.crowds {
            Some(_) if db.reader.is_closed() => Err(sqlx::Error::PoolClosed.into()),
            Some(crowds) => crowds.take().await,
            None => Ok(Self::Pooled(db.reader.acquire().await?)),
        }
    }

    fn connection(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Own(connection) => connection.as_mut().expect("opened when it was taken"),
            Self::Pooled(connection) => connection,
        }
    }

    async fn rows(&mut self, query: Query<'_, sqlx::Sqlite, SqliteArguments>) -> Result<Vec<SqliteRow>> {
        let rows = query.fetch_all(self.connection()).await;
        if let (Err(_), Self::Own(connection)) = (&rows, self) {
            **connection = None;
        }
        Ok(rows?)
    }
}

/// A sign-in with its account.
#[derive(Clone)]
pub(super) struct SignInBy(pub(super) String);
/// Whether a sign-in stands at a time.
#[derive(Clone)]
pub(super) struct Standing(pub(super) String, pub(super) i64);
/// An account.
#[derive(Clone)]
pub(super) struct AccountBy(pub(super) AccountId);
/// A character.
#[derive(Clone)]
pub(super) struct CharacterBy(pub(super) CharacterId);
/// A sign-in with its account, and the account's character where it is the only one.
#[derive(Clone)]
pub(super) struct OpeningBy(pub(super) String);
/// An account's mutes that hold at a time.
#[derive(Clone)]
pub(super) struct MutesOf(pub(super) AccountId, pub(super) i64);
/// What an account brings with a character at a time.
#[derive(Clone)]
pub(super) struct BroughtBy(pub(super) AccountId, pub(super) i64);

fn place(row: &SqliteRow) -> Result<usize> {
    Ok(usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(usize::MAX))
}

/// The rows of a statement that asks for one row a place.
async fn one_each<T>(
    mut reader: Reader,
    statement: &'static str,
    ids: Vec<String>,
    read: impl Fn(&SqliteRow) -> Result<T>,
) -> Result<Vec<Result<Option<T>>>> {
    let mut answers: Vec<Result<Option<T>>> = ids.iter().map(|_| Ok(None)).collect();
    let rows = reader.rows(sqlx::query(statement).bind(list(ids.into_iter()))).await?;
    for row in &rows {
        if let Some(answer) = answers.get_mut(place(row)?) {
            *answer = read(row).map(Some);
        }
    }
    Ok(answers)
}

macro_rules! one_each {
    ($call:ty => $answer:ty, $statement:expr, $read:path) => {
        impl Call for $call {
            type Answer = Option<$answer>;
            type With = Reader;
            const TOGETHER_MAX: usize = TOGETHER_MAX;
            const READS: bool = true;

            async fn begin(db: &Sqlite) -> Result<Self::With> {
                Reader::of(db).await
            }

            async fn all(reader: Self::With, calls: &[Self]) -> Result<Vec<Result<Self::Answer>>> {
                let ids = calls.iter().map(|call| call.0.to_string()).collect();
                one_each(reader, $statement, ids, $read).await
            }
        }
    };
}

one_each!(SignInBy => SignIn, families::SIGN_INS, families::read_sign_in);
one_each!(AccountBy => Account, accounts::EACH, accounts::read);
one_each!(CharacterBy => Character, characters::EACH, characters::read);

impl Call for OpeningBy {
    type Answer = Option<(SignIn, Option<Character>)>;
    type With = Reader;
    const TOGETHER_MAX: usize = TOGETHER_MAX;
    const READS: bool = true;

    async fn begin(db: &Sqlite) -> Result<Self::With> {
        Reader::of(db).await
    }

    async fn all(mut reader: Self::With, calls: &[Self]) -> Result<Vec<Result<Self::Answer>>> {
        let asked = list(calls.iter().map(|call| &call.0));
        let rows = reader.rows(sqlx::query(families::OPENINGS).bind(asked)).await?;
        let text: &str = rows.first().map_or(Ok("[]"), |row| row.try_get(0))?;
        let openings: Vec<Opening> =
            serde_json::from_str(text).map_err(|error| unreadable("opening").because(error))?;
        let mut answers: Vec<Result<Self::Answer>> = calls.iter().map(|_| Ok(None)).collect();
        for opening in openings {
            if let Some(answer) = answers.get_mut(opening.place) {
                *answer = opening.read().map(Some);
            }
        }
        Ok(answers)
    }
}

impl Call for Standing {
    type Answer = bool;
    type With = Reader;
    const TOGETHER_MAX: usize = TOGETHER_MAX;
    const READS: bool = true;

    async fn begin(db: &Sqlite) -> Result<Self::With> {
        Reader::of(db).await
    }

    async fn all(mut reader: Self::With, calls: &[Self]) -> Result<Vec<Result<Self::Answer>>> {
        let families = list(calls.iter().map(|call| &call.0));
        // The earliest: a ban that ended since holds a moment longer.
        let since = calls.iter().map(|call| call.1).min().unwrap_or(0);
        let mut answers: Vec<Result<bool>> = calls.iter().map(|_| Ok(true)).collect();
        for row in &reader.rows(sqlx::query(families::FALLEN).bind(families).bind(since)).await? {
            if let Some(answer) = answers.get_mut(place(row)?) {
                *answer = Ok(false);
            }
        }
        Ok(answers)
    }
}

impl Call for MutesOf {
    type Answer = Vec<Mute>;
    type With = Reader;
    const TOGETHER_MAX: usize = TOGETHER_MAX;
    const READS: bool = true;

    async fn begin(db: &Sqlite) -> Result<Self::With> {
        Reader::of(db).await
    }

    async fn all(mut reader: Self::With, calls: &[Self]) -> Result<Vec<Result<Self::Answer>>> {
        let since = calls.iter().map(|call| call.1).min().unwrap_or(0);
        let query = sqlx::query(moderation::MUTES_EACH)
            .bind(list(calls.iter().map(|call| call.0.to_string())))
            .bind(since)
            .bind(page(PAGE_MAX));
        let rows = reader.rows(query).await?;
        let mut answers: Vec<Result<Vec<Mute>>> = calls.iter().map(|_| Ok(Vec::new())).collect();
        for row in &rows {
            let place = place(row)?;
            let (Some(answer), Some(call)) = (answers.get_mut(place), calls.get(place)) else { continue };
            match (moderation::read_mute(row), &mut *answer) {
                (Ok(mute), Ok(mutes)) if mute.until_ms.is_none_or(|until| until > call.1) => mutes.push(mute),
                (Ok(_), _) => {}
                (Err(error), _) => *answer = Err(error),
            }
        }
        Ok(answers)
    }
}

impl Call for BroughtBy {
    type Answer = Brought;
    type With = Reader;
    const TOGETHER_MAX: usize = TOGETHER_MAX;
    const READS: bool = true;

    async fn begin(db: &Sqlite) -> Result<Self::With> {
        Reader::of(db).await
    }

    /// Two statements, which give rows for few: most have muted nobody, and are not silenced.
    async fn all(mut reader: Self::With, calls: &[Self]) -> Result<Vec<Result<Self::Answer>>> {
        let accounts = list(calls.iter().map(|call| call.0.to_string()));
        let mut answers: Vec<Result<Brought>> = calls.iter().map(|_| Ok(Brought::default())).collect();
        for row in &reader.rows(sqlx::query(moderation::SILENCES_EACH).bind(&accounts)).await? {
            if let Some(Ok(answer)) = answers.get_mut(place(row)?) {
                answer.silenced_until_ms = row.try_get("until_ms")?;
            }
        }
        let since = calls.iter().map(|call| call.1).min().unwrap_or(0);
        let query = sqlx::query(moderation::MARKS_EACH)
            .bind(since)
            .bind(&accounts)
            .bind(page(PAGE_MAX))
            .bind(page(ENDED_MUTES_MAX));
        for row in &reader.rows(query).await? {
            let place = place(row)?;
            let (Some(answer), Some(call)) = (answers.get_mut(place), calls.get(place)) else { continue };
            match (moderation::read_mark(row), &mut *answer) {
                (Ok(mut mark), Ok(brought)) => {
                    mark.ended |= mark.mute.until_ms.is_some_and(|until| until <= call.1);
                    brought.mutes.push(mark);
                }
                (Ok(_), Err(_)) => {}
                (Err(error), _) => *answer = Err(error),
            }
        }
        Ok(answers)
    }
}
