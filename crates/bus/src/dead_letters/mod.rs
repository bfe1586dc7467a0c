//! Dead letters, for those who look after a system: list, show, replay, purge, export, import, count.
//!
//! A log is only ever appended to and trimmed at its front, so a letter is taken out by a note behind it in the same
//! log; what lies in front of the first letter that is left is trimmed. A note is younger than the letters it names,
//! so it outlives them under every retention. Why so: `docs/decisions/0006-dead-letters.md`.

mod index;
mod lines;
mod queues;
mod replay;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;

pub use self::lines::LETTER_LINE_BYTES_MAX;
pub use self::queues::DeadLetterQueues;
pub use self::replay::{Replayed, Walk};
use crate::bus::Bus;
use crate::dead_letter::{DeadLetter, Record};
use crate::dead_letters::index::Index;
use crate::error::{Error, ErrorKind};
use crate::log::{Append, Fence, LogMessage};
use crate::subject::Subject;

/// Letters of one page.
pub const PAGE_MAX: usize = 100;
/// Letters looked at for one page: a filter that finds little answers with what it found and where to go on.
const LOOKED_AT_MAX: usize = 1_000;
/// Messages read at once: of the largest, some megabytes.
const READ_CHUNK: usize = 64;
/// Letters that one note takes out.
const NOTE_LETTERS_MAX: usize = 500;
/// How often a change is tried while others change the log: each try follows one that another made.
const TRIES_MAX: usize = 20;

/// A letter and its number: its sequence in the log of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// By which it is shown, replayed, taken out.
    pub id: u64,
    /// What it is.
    pub letter: DeadLetter,
}

/// Which letters. Without anything: all.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// The reason, or an error it came from, holds this text; whatever the case.
    pub reason: Option<String>,
    /// Dead since then, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Dead before then, Unix milliseconds.
    pub until_ms: Option<i64>,
}

impl LetterFilter {
    fn takes_time(&self, dead_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| dead_ms >= from) && self.until_ms.is_none_or(|until| dead_ms < until)
    }

    fn takes(&self, letter: &DeadLetter) -> bool {
        let Some(wanted) = &self.reason else { return true };
        let wanted = wanted.to_lowercase();
        std::iter::once(&letter.reason)
            .chain(&letter.errors)
            .any(|text| text.to_lowercase().contains(&wanted))
    }
}

/// Some letters, and where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The letters, the oldest first.
    pub letters: Vec<Letter>,
    /// Ask for what comes after this letter; `None`: there is no more. A page may be empty and not the last one.
    pub next: Option<u64>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Letters.
    pub letters: usize,
    /// When the oldest became one, Unix milliseconds.
    pub oldest_ms: Option<i64>,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Letters that were stored.
    pub stored: usize,
    /// Letters that were there already.
    pub known: usize,
}

/// The dead letters of one queue. Cheap to clone; clones share what they know of the log.
#[derive(Clone)]
pub struct DeadLetters {
    bus: Bus,
    queue: Subject,
    dead: Subject,
    index: Arc<Mutex<Index>>,
}

impl DeadLetters {
    pub(crate) fn new(bus: Bus, queue: Subject, dead: Subject) -> Self {
        Self { bus, queue, dead, index: Arc::default() }
    }

    /// The queue.
    pub fn queue(&self) -> &Subject {
        &self.queue
    }

    /// How many there are, and since when.
    pub async fn depth(&self) -> Result<Depth, Error> {
        let index = self.fresh().await?;
        Ok(Depth { letters: index.len(), oldest_ms: index.oldest_ms() })
    }

    /// The letters after the letter `after` that the filter takes, at most `limit` of them and [`PAGE_MAX`].
    pub async fn list(&self, filter: &LetterFilter, after: u64, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (candidates, more) = {
            let index = self.fresh().await?;
            let mut wanted = index.after(after).filter(|(_, known)| filter.takes_time(known.dead_ms));
            let some: Vec<u64> = wanted.by_ref().take(LOOKED_AT_MAX).map(|(id, _)| id).collect();
            (some, wanted.next().is_some())
        };
        let mut page = Page::default();
        for chunk in candidates.chunks(READ_CHUNK) {
            for letter in self.read(chunk).await? {
                if page.letters.len() == limit {
                    page.next = page.letters.last().map(|last| last.id);
                    return Ok(page);
                }
                if filter.takes(&letter.letter) {
                    page.letters.push(letter);
                }
            }
        }
        page.next = candidates.last().copied().filter(|_| more);
        Ok(page)
    }

    /// One letter; `None`: there is none of this number, or it is gone.
    pub async fn get(&self, id: u64) -> Result<Option<Letter>, Error> {
        if !self.fresh().await?.has(id) {
            return Ok(None);
        }
        Ok(self.read(&[id]).await?.pop())
    }

    /// Takes letters out, for good; answers how many there were.
    pub async fn remove(&self, ids: &[u64]) -> Result<usize, Error> {
        let mut removed = 0;
        for chunk in ids.chunks(NOTE_LETTERS_MAX) {
            removed += self.remove_some(chunk).await?;
        }
        self.trim().await?;
        Ok(removed)
    }

    async fn remove_some(&self, ids: &[u64]) -> Result<usize, Error> {
        for _ in 0..TRIES_MAX {
            let (there, fence) = {
                let index = self.fresh().await?;
                let there: Vec<u64> = ids.iter().copied().filter(|id| index.has(*id)).collect();
                (there, self.fence(&index))
            };
            if there.is_empty() {
                return Ok(0);
            }
            let note = self.note(&there, "purged")?;
            match self.bus.backend().commit(vec![note], vec![fence]).await {
                Err(error) if error.kind() == ErrorKind::Fenced => {}
                outcome => return outcome.map(|_| there.len()),
            }
        }
        Err(self.busy())
    }

    /// Stores letters as they were exported, but for those that are there already: the same message of the same queue.
    /// Each keeps its own times, and is kept from now on as long as a new one.
    pub async fn import(&self, letters: Vec<DeadLetter>) -> Result<Imported, Error> {
        let mut sum = Imported::default();
        for chunk in letters.chunks(READ_CHUNK) {
            let Imported { stored, known } = self.import_some(chunk).await?;
            sum = Imported { stored: sum.stored + stored, known: sum.known + known };
        }
        Ok(sum)
    }

    async fn import_some(&self, letters: &[DeadLetter]) -> Result<Imported, Error> {
        for _ in 0..TRIES_MAX {
            let (batch, fence) = {
                let index = self.fresh().await?;
                let mut origins = index.origins();
                let new = letters.iter().filter(|letter| origins.insert((letter.seq, letter.time_ms)));
                let append = |letter: &DeadLetter| {
                    // In the queue that it is imported into, whatever that was called before.
                    let letter = DeadLetter { subject: self.queue.as_str().to_owned(), ..letter.clone() };
                    Ok(Append { subject: self.dead.clone(), payload: letter.encode()? })
                };
                (new.map(append).collect::<Result<Vec<_>, Error>>()?, self.fence(&index))
            };
            let stored = batch.len();
            let done = Imported { stored, known: letters.len() - stored };
            if stored == 0 {
                return Ok(done);
            }
            match self.bus.commit(batch, vec![fence]).await {
                Err(error) if error.kind() == ErrorKind::Fenced => {}
                outcome => return outcome.map(|_| done),
            }
        }
        Err(self.busy())
    }

    /// Tells the metrics how many there are and how old the oldest is.
    pub async fn measure(&self) -> Result<Depth, Error> {
        let depth = self.depth().await?;
        let age_ms = depth.oldest_ms.map_or(0, |oldest| crate::clock::now_ms().saturating_sub(oldest).max(0));
        let queue = self.queue.as_str().to_owned();
        metrics::gauge!("tidings_bus_dead_letters", "queue" => queue.clone()).set(depth.letters as f64);
        metrics::gauge!("tidings_bus_dead_letters_oldest_seconds", "queue" => queue)
            .set(age_ms as f64 / 1_000.0);
        Ok(depth)
    }

    /// What is known of the log, brought up to its end.
    async fn fresh(&self) -> Result<tokio::sync::MutexGuard<'_, Index>, Error> {
        let mut index = self.index.lock().await;
        index.begin(&self.bus.epoch());
        loop {
            let found = self.raw(index.upto(), READ_CHUNK).await?;
            if found.is_empty() {
                break;
            }
            found.iter().for_each(|message| index.learn(message));
        }
        index.forget(self.bus.retained_after(&self.dead).await?);
        Ok(index)
    }

    async fn raw(&self, after: u64, limit: usize) -> Result<Vec<LogMessage>, Error> {
        self.bus.backend().read(std::slice::from_ref(&self.dead), after, limit).await
    }

    /// The letters of these numbers, in order, but for those that retention has just taken.
    async fn read(&self, ids: &[u64]) -> Result<Vec<Letter>, Error> {
        let mut letters = Vec::with_capacity(ids.len());
        let mut left = ids;
        while let [first, ..] = left {
            let found = self.raw(first - 1, left.len()).await?;
            let Some(last) = found.last().map(|message| message.seq) else { break };
            for message in found.iter().filter(|message| left.contains(&message.seq)) {
                if let Ok(Record::Letter(letter)) = Record::read(&message.payload) {
                    letters.push(Letter { id: message.seq, letter: index::dated(*letter, message) });
                }
            }
            left = &left[left.partition_point(|id| *id <= last)..];
        }
        Ok(letters)
    }

    fn fence(&self, index: &Index) -> Fence {
        Fence { subject: self.dead.clone(), seq: index.last() }
    }

    fn note(&self, ids: &[u64], why: &str) -> Result<Append, Error> {
        Ok(Append { subject: self.dead.clone(), payload: Record::removed(ids, why)? })
    }

    fn busy(&self) -> Error {
        let what = format!("the dead letters of '{}' change faster than this can follow", self.queue);
        Error::new(ErrorKind::Overloaded, what)
    }

    /// Trims what lies in front of the first letter that is left. Without a letter nothing but notes is left.
    async fn trim(&self) -> Result<(), Error> {
        let through = self.fresh().await?.trimmable();
        match through {
            Some(through) => match self.bus.trim(&self.dead, through).await {
                // Who may take letters out need not be one who may trim: what is left of them goes by its age.
                Err(error) if error.kind() == ErrorKind::Permission => {
                    tracing::debug!(%error, queue = %self.queue, "the dead letters are not trimmed");
                    Ok(())
                }
                trimmed => trimmed,
            },
            None => Ok(()),
        }
    }

    /// The message that a letter's replay is, and the id by which it is known.
    fn replay_of(&self, letter: &Letter) -> Result<(String, Bytes), Error> {
        replay::message(&self.queue, &self.dead, letter)
    }
}
