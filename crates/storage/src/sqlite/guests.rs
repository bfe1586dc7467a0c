//! Guests are made together, in one transaction, so that a crowd costs a few syncs of the disk and not one each.

use sqlx::{Connection as _, SqliteConnection, Transaction};

use super::together::Call;
use super::{Sqlite, accounts, characters, families};
use crate::Result;
use crate::types::{NewAccount, NewCharacter, NewFamily};

/// One guest.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) account: NewAccount,
    pub(super) character: NewCharacter,
    pub(super) family: NewFamily,
}

impl Call for Guest {
    type Answer = ();
    type With = Transaction<'static, sqlx::Sqlite>;
    /// Some milliseconds of work beside one sync.
    const TOGETHER_MAX: usize = 128;
    const READS: bool = false;

    async fn begin(db: &Sqlite) -> Result<Self::With> {
        db.begin().await
    }

    async fn all(mut tx: Self::With, guests: &[Self]) -> Result<Vec<Result<()>>> {
        let mut made = Vec::with_capacity(guests.len());
        for guest in guests {
            made.push(make(&mut tx, guest).await);
        }
        tx.commit().await?;
        Ok(made)
    }
}

/// One guest, whole or not at all, whatever becomes of the others.
async fn make(to: &mut SqliteConnection, guest: &Guest) -> Result<()> {
    let mut tx = to.begin().await?;
    accounts::insert(&mut *tx, &guest.account).await?;
    characters::insert(&mut *tx, &guest.character).await?;
    families::insert(&mut tx, &guest.family).await?;
    Ok(tx.commit().await?)
}
