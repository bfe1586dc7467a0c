//! Accounts in SQLite.

use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Row as _};
use tidings_protocol::AccountId;

use super::guests::Guest;
use super::reads::AccountBy;
use super::{Sqlite, page, parsed, until};
use crate::Result;
use crate::backend::{Accounts, Answer};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;
use crate::types::{Account, Ban, Credentials, NewAccount, NewCharacter, NewFamily, Role};

/// The columns of an account `a` with its sanctions `b` and `s`.
macro_rules! columns {
    () => {
        "a.id, a.username, a.password, a.role, a.guest, a.created_ms, \
         b.until_ms AS ban_until_ms, b.reason AS ban_reason, s.until_ms AS silence_until_ms"
    };
}
pub(super) use columns;

/// The sanctions of an account `a`.
macro_rules! sanctions {
    () => {
        " LEFT JOIN sanctions b ON b.account = a.id AND b.kind = 'ban' AND b.ended = 0 \
         LEFT JOIN sanctions s ON s.account = a.id AND s.kind = 'silence' AND s.ended = 0 "
    };
}
pub(super) use sanctions;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", columns!(), " FROM accounts a", sanctions!(), $rest)
    };
}

/// The accounts of a list of ids.
pub(super) const EACH: &str = concat!(
    "SELECT each.key AS place, ",
    columns!(),
    " FROM json_each(?) each CROSS JOIN accounts a ON a.id = each.value",
    sanctions!()
);

pub(super) fn read(row: &SqliteRow) -> Result<Account> {
    let ban = match row.try_get::<Option<i64>, _>("ban_until_ms")? {
        Some(ms) => Some(Ban { until_ms: until(ms), reason: row.try_get("ban_reason")? }),
        None => None,
    };
    Ok(Account {
        id: parsed(row, "id")?,
        username: row.try_get("username")?,
        role: parsed(row, "role")?,
        guest: row.try_get("guest")?,
        created_ms: row.try_get("created_ms")?,
        ban,
        silenced_until_ms: row.try_get("silence_until_ms")?,
    })
}

pub(super) async fn insert<'e>(
    to: impl Executor<'e, Database = sqlx::Sqlite>,
    account: &NewAccount,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO accounts (id, username, folded, password, role, guest, created_ms, seen_ms) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(account.id.to_string())
    .bind(account.username.shown())
    .bind(account.username.key())
    .bind(account.password.as_ref().map(|password| password.expose().as_str()))
    .bind(account.role.as_str())
    .bind(account.guest)
    .bind(account.created_ms)
    .bind(account.created_ms)
    .execute(to)
    .await
    .map_err(|error| Error::from(error).taken("that username is taken"))?;
    Ok(())
}

fn changed(rows: u64) -> Result<()> {
    if rows == 0 { Err(Error::new(ErrorKind::NotFound, "there is no such account")) } else { Ok(()) }
}

impl Accounts for Sqlite {
    fn create_account<'a>(&'a self, account: &'a NewAccount) -> Answer<'a, ()> {
        Box::pin(insert(&self.writer, account))
    }

    fn create_guest<'a>(
        &'a self,
        account: &'a NewAccount,
        character: &'a NewCharacter,
        family: &'a NewFamily,
    ) -> Answer<'a, ()> {
        let guest = Guest { account: account.clone(), character: character.clone(), family: family.clone() };
        Box::pin(self.guests.call(self, guest))
    }

    fn account(&self, id: AccountId) -> Answer<'_, Option<Account>> {
        Box::pin(self.reads.accounts.call(self, AccountBy(id)))
    }

    fn credentials<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Credentials>> {
        Box::pin(async move {
            let row =
                sqlx::query(select!("WHERE a.folded = ?")).bind(key).fetch_optional(&self.reader).await?;
            row.map(|row| {
                let password: Option<String> = row.try_get("password")?;
                Ok(Credentials { account: read(&row)?, password: password.map(Secret::new) })
            })
            .transpose()
        })
    }

    fn accounts<'a>(&'a self, after: &'a str, limit: usize) -> Answer<'a, Vec<Account>> {
        Box::pin(async move {
            let rows = sqlx::query(select!("WHERE a.guest = 0 AND a.folded > ? ORDER BY a.folded LIMIT ?"))
                .bind(after)
                .bind(page(limit))
                .fetch_all(&self.reader)
                .await?;
            rows.iter().map(read).collect()
        })
    }

    fn set_password<'a>(&'a self, id: AccountId, password: &'a Secret<String>) -> Answer<'a, ()> {
        Box::pin(async move {
            let done = sqlx::query("UPDATE accounts SET password = ? WHERE id = ?")
                .bind(password.expose().as_str())
                .bind(id.to_string())
                .execute(&self.writer)
                .await?;
            changed(done.rows_affected())
        })
    }

    fn set_role(&self, id: AccountId, role: Role) -> Answer<'_, ()> {
        Box::pin(async move {
            let done = sqlx::query("UPDATE accounts SET role = ? WHERE id = ?")
                .bind(role.as_str())
                .bind(id.to_string())
                .execute(&self.writer)
                .await?;
            changed(done.rows_affected())
        })
    }

    fn set_ban<'a>(&'a self, id: AccountId, ban: Option<&'a Ban>) -> Answer<'a, ()> {
        Box::pin(async move {
            // The stamp of the last commit stays: what it said, replayed, must not undo this.
            sqlx::query(
                "INSERT INTO sanctions (account, kind, until_ms, reason, ended, epoch, seq) \
                 VALUES (?, 'ban', ?, ?, ?, '', 0) ON CONFLICT (account, kind) DO UPDATE SET \
                 until_ms = excluded.until_ms, reason = excluded.reason, ended = excluded.ended, \
                 seq = sanctions.seq + 1",
            )
            .bind(id.to_string())
            .bind(ban.and_then(|ban| ban.until_ms).unwrap_or(0))
            .bind(ban.map_or("", |ban| ban.reason.as_str()))
            .bind(ban.is_none())
            .execute(&self.writer)
            .await?;
            Ok(())
        })
    }

    fn remove_account(&self, id: AccountId) -> Answer<'_, bool> {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM accounts WHERE id = ?")
                .bind(id.to_string())
                .execute(&self.writer)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    fn see_guest(&self, id: AccountId, now_ms: i64) -> Answer<'_, ()> {
        Box::pin(async move {
            sqlx::query("UPDATE accounts SET seen_ms = max(seen_ms, ?) WHERE id = ? AND guest = 1")
                .bind(now_ms)
                .bind(id.to_string())
                .execute(&self.writer)
                .await?;
            Ok(())
        })
    }

    fn idle_guests(&self, before_ms: i64, limit: usize) -> Answer<'_, Vec<AccountId>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT id FROM accounts WHERE guest = 1 AND seen_ms < ? ORDER BY seen_ms LIMIT ?",
            )
            .bind(before_ms)
            .bind(page(limit))
            .fetch_all(&self.reader)
            .await?;
            rows.iter().map(|row| parsed(row, "id")).collect()
        })
    }
}
