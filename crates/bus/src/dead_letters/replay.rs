//! Replays: a letter's message goes back into its queue, marked, under an id of its own, and the letter goes once the
//! message is stored. Many of them go at a pace, so that what failed once does not fail everything else.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{DeadLetters, Letter, LetterFilter, PAGE_MAX, TRIES_MAX};
use crate::dead_letter::{REPLAY_ID, REPLAY_OF};
use crate::envelope;
use crate::error::{Error, ErrorKind};
use crate::subject::Subject;

/// Refusals that a walk tells; more are counted.
const REFUSALS_TOLD_MAX: usize = 20;

/// A part of a walk over letters: at most `limit` of them, those after `after` up to and with `through`, so that what
/// comes in meanwhile (a replay that failed again) is left.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Which letters.
    pub filter: LetterFilter,
    /// Those after this one; 0: from the first.
    pub after: u64,
    /// Up to and with this one; [`DeadLetters::end`] says what there is now.
    pub through: u64,
    /// How many at most.
    pub limit: usize,
    /// How many a second at most.
    pub per_second: u32,
}

/// What a walk came to.
#[derive(Debug, Clone, Default)]
pub struct Replayed {
    /// Letters that are in their queue again.
    pub replayed: usize,
    /// Letters that cannot be, and stay: how many.
    pub refused: usize,
    /// The first of them, and why.
    pub refusals: Vec<(u64, String)>,
    /// Go on after this one; `None`: the walk is done.
    pub next: Option<u64>,
}

/// A letter's message as it goes into the queue again, and its id: the same however often it is begun, another than
/// that of any other message.
pub(super) fn message(queue: &Subject, dead: &Subject, letter: &Letter) -> Result<(String, Bytes), Error> {
    let Letter { id, letter } = letter;
    let name = format!("replay-{dead}-{id}-{}", letter.dead_ms);
    let marks = [REPLAY_OF, REPLAY_ID];
    let own = |name: &str| marks.iter().any(|mark| mark.eq_ignore_ascii_case(name));
    let mut headers: Vec<_> = letter.headers.iter().filter(|(name, _)| !own(name)).cloned().collect();
    headers.push((REPLAY_OF.to_owned(), format!("{queue} {} {id}", letter.seq)));
    headers.push((REPLAY_ID.to_owned(), name.clone()));
    Ok((name, envelope::encode_any(&headers, &letter.payload)?))
}

impl DeadLetters {
    /// The number of the last letter there is now; 0 where there is none.
    pub async fn end(&self) -> Result<u64, Error> {
        Ok(self.fresh().await?.after(0).last().map_or(0, |(id, _)| id))
    }

    /// Puts one letter's message back into its queue and takes the letter out once that is stored; answers the
    /// message's sequence. `None`: there is no such letter. `Schema`: the message still has not its form, and the
    /// letter stays.
    ///
    /// A replay that dies in between leaves the letter; the next one has the same id, which a queue on NATS knows for
    /// two minutes. After that, or across a handler that did its work already, a worker tells a second one by the
    /// header [`REPLAY_ID`]. Embedded both are one commit.
    pub async fn replay(&self, id: u64) -> Result<Option<u64>, Error> {
        let replayed = self.replay_one(id).await?;
        self.trim().await?;
        Ok(replayed)
    }

    async fn replay_one(&self, id: u64) -> Result<Option<u64>, Error> {
        for _ in 0..TRIES_MAX {
            let Some(letter) = self.get(id).await? else { return Ok(None) };
            let fence = {
                let index = self.fresh().await?;
                if !index.has(id) {
                    return Ok(None);
                }
                self.fence(&index)
            };
            self.bus.checks().outbound(&self.queue, &letter.letter.payload)?;
            let (name, envelope) = self.replay_of(&letter)?;
            let note = self.note(&[id], &format!("replayed as {name}"))?;
            match self.bus.backend().replay(&self.queue, &name, envelope, note, fence).await {
                Err(error) if error.kind() == ErrorKind::Fenced => {}
                Err(error) => return Err(error),
                Ok(seq) => {
                    metrics::counter!("tidings_bus_dead_letters_replayed_total").increment(1);
                    return Ok(Some(seq));
                }
            }
        }
        Err(self.busy())
    }

    /// Replays the letters of a walk, at its pace. A message that has not its form, or is too large, is refused and
    /// its letter stays; anything else that fails (a full queue, no connection) ends the walk with that error: what
    /// was replayed is gone from the letters, and the walk can be begun again.
    pub async fn replay_many(&self, walk: &Walk) -> Result<Replayed, Error> {
        let pause = Duration::from_secs(1) / walk.per_second.max(1);
        let mut done = Replayed::default();
        let (mut after, mut count) = (walk.after, 0);
        let mut due = Instant::now();
        while count < walk.limit {
            let page = self.list(&walk.filter, after, (walk.limit - count).min(PAGE_MAX)).await?;
            let wanted = page.letters.iter().map(|letter| letter.id).take_while(|id| *id <= walk.through);
            for id in wanted.collect::<Vec<_>>() {
                sleep_until(due).await;
                due = Instant::now() + pause;
                self.replay_counted(id, &mut done).await?;
                count += 1;
            }
            match page.next {
                Some(next) if next < walk.through => after = next,
                _ => {
                    self.trim().await?;
                    return Ok(done);
                }
            }
        }
        self.trim().await?;
        Ok(Replayed { next: Some(after), ..done })
    }

    async fn replay_counted(&self, id: u64, done: &mut Replayed) -> Result<(), Error> {
        match self.replay_one(id).await {
            Ok(Some(_)) => done.replayed += 1,
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Schema => {
                done.refused += 1;
                if done.refusals.len() < REFUSALS_TOLD_MAX {
                    done.refusals.push((id, error.to_string()));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Takes out the letters of a walk, without its pace; answers how many, and where to go on.
    pub async fn purge(&self, walk: &Walk) -> Result<(usize, Option<u64>), Error> {
        let (mut after, mut removed) = (walk.after, 0);
        while removed < walk.limit {
            let page = self.list(&walk.filter, after, (walk.limit - removed).min(PAGE_MAX)).await?;
            let wanted = page.letters.iter().map(|letter| letter.id).take_while(|id| *id <= walk.through);
            let ids: Vec<u64> = wanted.collect();
            removed += self.remove(&ids).await?;
            match page.next {
                Some(next) if next < walk.through => after = next,
                _ => return Ok((removed, None)),
            }
        }
        Ok((removed, Some(after)))
    }
}
