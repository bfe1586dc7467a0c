//! Characters in SQLite.

use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Row as _};
use tidings_protocol::{AccountId, CharacterId};

use super::reads::CharacterBy;
use super::{Sqlite, page, parsed};
use crate::Result;
use crate::backend::{Answer, Characters, PAGE_MAX};
use crate::error::{Error, ErrorKind};
use crate::types::{Character, NewCharacter};

/// The columns of a character `c`.
macro_rules! columns {
    () => {
        "c.id AS character, c.account, c.name, c.room, c.state, c.created_ms AS character_created_ms"
    };
}

/// The characters of a list of ids.
pub(super) const EACH: &str = concat!(
    "SELECT each.key AS place, ",
    columns!(),
    " FROM json_each(?) each CROSS JOIN characters c ON c.id = each.value"
);

pub(super) fn read(row: &SqliteRow) -> Result<Character> {
    let room: &str = row.try_get("room")?;
    Ok(Character {
        id: parsed(row, "character")?,
        account: parsed(row, "account")?,
        name: row.try_get("name")?,
        room: if room.is_empty() { None } else { Some(parsed(row, "room")?) },
        state: row.try_get("state")?,
        created_ms: row.try_get("character_created_ms")?,
    })
}

pub(super) async fn insert<'e>(
    to: impl Executor<'e, Database = sqlx::Sqlite>,
    character: &NewCharacter,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO characters (id, account, name, folded, room, state, created_ms, epoch, seq) \
         VALUES (?, ?, ?, ?, '', '', ?, '', 0)",
    )
    .bind(character.id.to_string())
    .bind(character.account.to_string())
    .bind(character.name.shown())
    .bind(character.name.key())
    .bind(character.created_ms)
    .execute(to)
    .await
    .map_err(|error| Error::from(error).taken("that name, or one that looks like it, is taken"))?;
    Ok(())
}

impl Characters for Sqlite {
    fn create_character<'a>(&'a self, character: &'a NewCharacter, most: usize) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let has: i64 = sqlx::query_scalar("SELECT count(*) FROM characters WHERE account = ?")
                .bind(character.account.to_string())
                .fetch_one(&mut *tx)
                .await?;
            if usize::try_from(has).unwrap_or(usize::MAX) >= most.min(PAGE_MAX) {
                let what = format!("an account has at most {most} characters");
                return Err(Error::new(ErrorKind::Limit, what));
            }
            insert(&mut *tx, character).await?;
            Ok(tx.commit().await?)
        })
    }

    fn character(&self, id: CharacterId) -> Answer<'_, Option<Character>> {
        Box::pin(self.reads.characters.call(self, CharacterBy(id)))
    }

    fn character_by_name<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Character>> {
        Box::pin(async move {
            let query = concat!("SELECT ", columns!(), " FROM characters c WHERE c.folded = ?");
            let row = sqlx::query(query).bind(key).fetch_optional(&self.reader).await?;
            row.as_ref().map(read).transpose()
        })
    }

    fn characters(&self, account: AccountId) -> Answer<'_, Vec<Character>> {
        Box::pin(async move {
            let rows = sqlx::query(
                "SELECT id AS character, account, name, room, '' AS state, created_ms AS character_created_ms \
                 FROM characters WHERE account = ? ORDER BY created_ms, id LIMIT ?",
            )
            .bind(account.to_string())
            .bind(page(PAGE_MAX))
            .fetch_all(&self.reader)
            .await?;
            rows.iter().map(read).collect()
        })
    }

    fn character_ids(&self, after: Option<CharacterId>, limit: usize) -> Answer<'_, Vec<CharacterId>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT id FROM characters WHERE id > ? ORDER BY id LIMIT ?")
                .bind(after.map(|id| id.to_string()).unwrap_or_default())
                .bind(page(limit))
                .fetch_all(&self.reader)
                .await?;
            rows.iter().map(|row| parsed(row, "id")).collect()
        })
    }

    fn delete_character(&self, account: AccountId, id: CharacterId) -> Answer<'_, bool> {
        Box::pin(async move {
            let done = sqlx::query("DELETE FROM characters WHERE id = ? AND account = ?")
                .bind(id.to_string())
                .bind(account.to_string())
                .execute(&self.writer)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }
}
