//! Guests are made together: whoever gets the writer makes all that wait in one transaction, so that a crowd costs a
//! few syncs of the disk and not one each.

use parking_lot::Mutex;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::oneshot;

use super::{Sqlite, accounts, characters, families};
use crate::Result;
use crate::error::{Error, ErrorKind};
use crate::types::{NewAccount, NewCharacter, NewFamily};

/// Guests of one transaction: some milliseconds of work beside one sync.
const TOGETHER_MAX: usize = 128;
/// Guests that wait: half a minute's worth on a slow disk; beyond it the caller is told `Overloaded`.
const WAITING_MAX: usize = 4_096;

struct Waiting {
    account: NewAccount,
    character: NewCharacter,
    family: NewFamily,
    answer: oneshot::Sender<Result<()>>,
}

/// Guests that wait to be made.
#[derive(Default)]
pub(super) struct Together {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by who makes them.
    turn: tokio::sync::Mutex<()>,
}

impl Sqlite {
    pub(super) async fn guest_with_others(
        &self,
        account: &NewAccount,
        character: &NewCharacter,
        family: &NewFamily,
    ) -> Result<()> {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut waiting = self.guests.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                return Err(Error::new(ErrorKind::Overloaded, "too many guests arrive at once"));
            }
            let (account, character, family) = (account.clone(), character.clone(), family.clone());
            waiting.push(Waiting { account, character, family, answer });
        }
        loop {
            let _turn = self.guests.turn.lock().await;
            match answered.try_recv() {
                Ok(made) => return made,
                // Who had it among theirs gave up half way: nothing was made.
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(Error::new(ErrorKind::Overloaded, "the database is busy"));
                }
                Err(oneshot::error::TryRecvError::Empty) => self.make_those_that_wait().await,
            }
        }
    }

    async fn make_those_that_wait(&self) {
        let mut tx = match self.begin().await {
            Ok(tx) => tx,
            Err(error) => return answer_all(self.take_waiting(), &error),
        };
        let guests = self.take_waiting();
        let mut made = Vec::with_capacity(guests.len());
        for guest in guests {
            let outcome = make(&mut tx, &guest).await;
            made.push((guest.answer, outcome));
        }
        match tx.commit().await {
            Ok(()) => made.into_iter().for_each(|(answer, outcome)| drop(answer.send(outcome))),
            Err(error) => {
                let error = Error::from(error);
                made.into_iter().for_each(|(answer, _)| drop(answer.send(Err(like(&error)))));
            }
        }
    }

    /// The first that wait, and that somebody still waits for.
    fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = self.guests.waiting.lock();
        waiting.retain(|guest| !guest.answer.is_closed());
        let some = waiting.len().min(TOGETHER_MAX);
        waiting.drain(..some).collect()
    }
}

/// One guest, whole or not at all, whatever becomes of the others.
async fn make(to: &mut SqliteConnection, guest: &Waiting) -> Result<()> {
    let mut tx = to.begin().await?;
    accounts::insert(&mut *tx, &guest.account).await?;
    characters::insert(&mut *tx, &guest.character).await?;
    families::insert(&mut tx, &guest.family).await?;
    Ok(tx.commit().await?)
}

fn answer_all(guests: Vec<Waiting>, error: &Error) {
    guests.into_iter().for_each(|guest| drop(guest.answer.send(Err(like(error)))));
}

/// The same for each of them; the cause is told to the first that logs it by its kind alone.
fn like(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string())
}
