//! Sign-ins and refresh tokens in SQLite.

use std::str::FromStr;

use serde::Deserialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tidings_protocol::AccountId;

use super::reads::{OpeningBy, SignInBy, Standing};
use super::{Sqlite, accounts, parsed, unreadable, until};
use crate::Result;
use crate::backend::{Answer, Families};
use crate::error::Error;
use crate::secret::Secret;
use crate::types::{Account, Ban, Character, Family, NewFamily, Rotate, Rotated, SignIn};

fn read(row: &SqliteRow) -> Result<Family> {
    Ok(Family {
        id: row.try_get("id")?,
        account: parsed(row, "account")?,
        expires_ms: row.try_get("expires_ms")?,
        revoked_ms: row.try_get("revoked_ms")?,
    })
}

/// The sign-ins of a list of ids, with their accounts.
pub(super) const SIGN_INS: &str = concat!(
    "SELECT each.key AS place, f.id AS family, f.expires_ms, f.revoked_ms, ",
    accounts::columns!(),
    " FROM json_each(?) each CROSS JOIN families f ON f.id = each.value JOIN accounts a ON a.id = f.account",
    accounts::sanctions!()
);

/// The same, with the character of the account that is its only one. All of them are one text in one row: a row goes from
/// thread to thread by itself, which costs more than to write and read it so.
pub(super) const OPENINGS: &str = concat!(
    "SELECT json_group_array(json_array(each.key, f.id, f.expires_ms, f.revoked_ms, \
     a.id, a.username, a.role, a.guest, a.created_ms, b.until_ms, b.reason, s.until_ms, \
     c.id, c.name, c.room, c.state, c.created_ms)) \
     FROM json_each(?) each CROSS JOIN families f ON f.id = each.value JOIN accounts a ON a.id = f.account",
    accounts::sanctions!(),
    "LEFT JOIN characters c ON c.account = a.id \
     AND NOT EXISTS (SELECT 1 FROM characters o WHERE o.account = c.account AND o.id <> c.id)"
);

/// One of them, in the order of its columns.
#[derive(Deserialize)]
pub(super) struct Opening {
    pub(super) place: usize,
    family: String,
    expires_ms: i64,
    revoked_ms: Option<i64>,
    account: String,
    username: String,
    role: String,
    guest: i64,
    account_created_ms: i64,
    ban_until_ms: Option<i64>,
    ban_reason: Option<String>,
    silence_until_ms: Option<i64>,
    character: Option<String>,
    name: Option<String>,
    room: Option<String>,
    state: Option<String>,
    character_created_ms: Option<i64>,
}

fn stands_for<T: FromStr>(text: &str, column: &str) -> Result<T> {
    text.parse().map_err(|_| unreadable(column))
}

impl Opening {
    pub(super) fn read(self) -> Result<(SignIn, Option<Character>)> {
        let account: AccountId = stands_for(&self.account, "account")?;
        let ban = self.ban_until_ms.zip(self.ban_reason);
        let only = self.character.map(|character| {
            let room = self.room.filter(|room| !room.is_empty());
            Ok::<_, Error>(Character {
                id: stands_for(&character, "character")?,
                account,
                name: self.name.unwrap_or_default(),
                room: room.map(|room| stands_for(&room, "room")).transpose()?,
                state: self.state.unwrap_or_default(),
                created_ms: self.character_created_ms.unwrap_or_default(),
            })
        });
        let family =
            Family { id: self.family, account, expires_ms: self.expires_ms, revoked_ms: self.revoked_ms };
        let account = Account {
            id: account,
            username: self.username,
            role: stands_for(&self.role, "role")?,
            guest: self.guest != 0,
            created_ms: self.account_created_ms,
            ban: ban.map(|(ms, reason)| Ban { until_ms: until(ms), reason }),
            silenced_until_ms: self.silence_until_ms,
        };
        Ok((SignIn { family, account }, only.transpose()?))
    }
}

/// Which of a list of families stand no more at a time: they were revoked, or their accounts are banned. Those that do
/// are no rows, since they are nearly all.
pub(super) const FALLEN: &str = "SELECT each.key AS place FROM json_each(?) each WHERE NOT EXISTS ( \
     SELECT 1 FROM families f WHERE f.id = each.value AND f.revoked_ms IS NULL AND NOT EXISTS ( \
     SELECT 1 FROM sanctions b WHERE b.account = f.account AND b.kind = 'ban' AND b.ended = 0 \
     AND (b.until_ms = 0 OR b.until_ms > ?)))";

pub(super) fn read_sign_in(row: &SqliteRow) -> Result<SignIn> {
    let account = accounts::read(row)?;
    let family = Family {
        id: row.try_get("family")?,
        account: account.id,
        expires_ms: row.try_get("expires_ms")?,
        revoked_ms: row.try_get("revoked_ms")?,
    };
    Ok(SignIn { family, account })
}

pub(super) async fn insert(to: &mut SqliteConnection, family: &NewFamily) -> Result<()> {
    sqlx::query("INSERT INTO families (id, account, created_ms, used_ms, expires_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(&family.id)
        .bind(family.account.to_string())
        .bind(family.created_ms)
        .bind(family.created_ms)
        .bind(family.expires_ms)
        .execute(&mut *to)
        .await?;
    insert_token(to, &family.id, &family.token_hash).await
}

async fn insert_token(to: &mut SqliteConnection, family: &str, hash: &Secret<[u8; 32]>) -> Result<()> {
    sqlx::query("INSERT INTO refresh_tokens (hash, family) VALUES (?, ?)")
        .bind(hash.expose().as_slice())
        .bind(family)
        .execute(to)
        .await?;
    Ok(())
}

/// A token that was rotated before: honoured for a moment, and only while its successor was not used.
async fn rotated_before(
    to: &mut SqliteConnection,
    row: &SqliteRow,
    ask: &Rotate,
) -> Result<Option<Secret<[u8; 32]>>> {
    let replaced: i64 = row.try_get("replaced_ms")?;
    let successor: Option<Vec<u8>> = row.try_get("successor")?;
    let salt: Option<Vec<u8>> = row.try_get("salt")?;
    let salt: [u8; 32] = salt.and_then(|salt| salt.try_into().ok()).ok_or_else(|| unreadable("salt"))?;
    let unused: Option<SqliteRow> =
        sqlx::query("SELECT 1 FROM refresh_tokens WHERE hash = ? AND replaced_ms IS NULL")
            .bind(successor)
            .fetch_optional(to)
            .await?;
    let honoured = ask.now_ms - replaced < ask.grace_ms && unused.is_some();
    Ok(honoured.then(|| Secret::new(salt)))
}

async fn revoke(to: &mut SqliteConnection, id: &str, now_ms: i64) -> Result<bool> {
    let done = sqlx::query("UPDATE families SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL")
        .bind(now_ms)
        .bind(id)
        .execute(to)
        .await?;
    Ok(done.rows_affected() > 0)
}

impl Families for Sqlite {
    fn create_family<'a>(&'a self, family: &'a NewFamily) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            insert(&mut tx, family).await?;
            Ok(tx.commit().await?)
        })
    }

    fn family<'a>(&'a self, id: &'a str) -> Answer<'a, Option<Family>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT id, account, expires_ms, revoked_ms FROM families WHERE id = ?")
                .bind(id)
                .fetch_optional(&self.reader)
                .await?;
            row.as_ref().map(read).transpose()
        })
    }

    fn sign_in<'a>(&'a self, family: &'a str) -> Answer<'a, Option<SignIn>> {
        Box::pin(self.reads.sign_ins.call(self, SignInBy(family.to_owned())))
    }

    fn opening<'a>(&'a self, family: &'a str) -> Answer<'a, Option<(SignIn, Option<Character>)>> {
        Box::pin(self.reads.openings.call(self, OpeningBy(family.to_owned())))
    }

    fn stands<'a>(&'a self, family: &'a str, now_ms: i64) -> Answer<'a, bool> {
        Box::pin(self.reads.standing.call(self, Standing(family.to_owned(), now_ms)))
    }

    fn token_family<'a>(
        &'a self,
        token_hash: &'a Secret<[u8; 32]>,
        now_ms: i64,
        grace_ms: i64,
    ) -> Answer<'a, Option<Family>> {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT f.id, f.account, f.expires_ms, f.revoked_ms FROM refresh_tokens t \
                 JOIN families f ON f.id = t.family WHERE t.hash = ? AND (t.replaced_ms IS NULL \
                 OR t.replaced_ms > ? AND EXISTS \
                 (SELECT 1 FROM refresh_tokens s WHERE s.hash = t.successor AND s.replaced_ms IS NULL))",
            )
            .bind(token_hash.expose().as_slice())
            .bind(now_ms - grace_ms)
            .fetch_optional(&self.reader)
            .await?;
            let family = row.as_ref().map(read).transpose()?;
            Ok(family.filter(|family| family.is_live(now_ms)))
        })
    }

    fn rotate<'a>(&'a self, ask: &'a Rotate) -> Answer<'a, Rotated> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let row = sqlx::query(
                "SELECT f.id, f.account, f.expires_ms, f.revoked_ms, t.replaced_ms, t.successor, t.salt \
                 FROM refresh_tokens t JOIN families f ON f.id = t.family WHERE t.hash = ?",
            )
            .bind(ask.presented.expose().as_slice())
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else { return Ok(Rotated::Refused) };
            let family = read(&row)?;
            if !family.is_live(ask.now_ms) {
                return Ok(Rotated::Refused);
            }
            if row.try_get::<Option<i64>, _>("replaced_ms")?.is_some() {
                if let Some(salt) = rotated_before(&mut tx, &row, ask).await? {
                    return Ok(Rotated::Again(family, salt));
                }
                revoke(&mut tx, &family.id, ask.now_ms).await?;
                tx.commit().await?;
                return Ok(Rotated::Reused(family));
            }
            sqlx::query("UPDATE refresh_tokens SET salt = ?, successor = ?, replaced_ms = ? WHERE hash = ?")
                .bind(ask.salt.expose().as_slice())
                .bind(ask.successor.expose().as_slice())
                .bind(ask.now_ms)
                .bind(ask.presented.expose().as_slice())
                .execute(&mut *tx)
                .await?;
            insert_token(&mut tx, &family.id, &ask.successor).await?;
            sqlx::query("UPDATE families SET used_ms = ?, expires_ms = ? WHERE id = ?")
                .bind(ask.now_ms)
                .bind(ask.expires_ms)
                .bind(&family.id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(Rotated::Done(Family { expires_ms: ask.expires_ms, ..family }))
        })
    }

    fn revoke_family<'a>(&'a self, id: &'a str, now_ms: i64) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let was_live = revoke(&mut tx, id, now_ms).await?;
            tx.commit().await?;
            Ok(was_live)
        })
    }

    fn revoke_families(&self, account: AccountId, now_ms: i64) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "UPDATE families SET revoked_ms = ? WHERE account = ? AND revoked_ms IS NULL RETURNING id",
            )
            .bind(now_ms)
            .bind(account.to_string())
            .fetch_all(&self.writer)
            .await?;
            rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
        })
    }

    fn revoke_all_families(&self, now_ms: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let done = sqlx::query("UPDATE families SET revoked_ms = ? WHERE revoked_ms IS NULL")
                .bind(now_ms)
                .execute(&self.writer)
                .await?;
            Ok(done.rows_affected())
        })
    }

    fn prune_families(&self, before_ms: i64) -> Answer<'_, u64> {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM families WHERE expires_ms < ? OR revoked_ms < ?")
                .bind(before_ms)
                .bind(before_ms)
                .execute(&self.writer)
                .await?;
            Ok(done.rows_affected())
        })
    }
}
