//! The failed-batch queue: groups that could not be sent, on disk, in order, until they are recovered.
//!
//! One file. What is put there is synced before it counts; what is taken out is marked, and the file is emptied once
//! nothing is left, or rewritten once marks and holes are most of it.
//!
//! ```text
//! record: "TBF1", kind u8, number u64, length u32, checksum u32 of these; body; checksum u32 of the body
//! kind 1: a group   (id, subject, messages, each with its length); one of a number that is there takes its place
//! kind 2: the group of this number is done
//! ```
//!
//! A torn end is cut off. A record that does not have its checksum is left out and told; the ones after it are found by
//! their own heads.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, ErrorKind};

const MAGIC: &[u8; 4] = b"TBF1";
const GROUP: u8 = 1;
const DONE: u8 = 2;
const HEAD: usize = 4 + 1 + 8 + 4 + 4;
/// The file is rewritten when it is so many times what it may hold.
const REWRITE_AT: u64 = 2;
/// How often the lock is tried, and the pause between: much longer than a program takes to start, and short for whoever is
/// told that another process has the queue.
const LOCK_TRIES: u32 = 10;
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// A group on disk. Its subject is text: a registry may have changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGroup {
    /// Where it was to go.
    pub subject: String,
    /// Its id: a repeat is known by it while the server remembers.
    pub id: String,
    /// Its messages.
    pub messages: Vec<Bytes>,
}

/// A group on disk as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedView {
    /// Its number: later ones have higher.
    pub number: u64,
    /// Where it was to go.
    pub subject: String,
    /// How many messages it has.
    pub messages: usize,
    /// Its bytes on disk.
    pub bytes: u64,
}

/// What was found when the queue was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoundFailed {
    /// Groups that wait.
    pub groups: usize,
    /// Records that do not have their checksum, and are left out.
    pub damaged: usize,
    /// Bytes of a torn end, cut off.
    pub torn_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    bytes: u64,
    subject: String,
    messages: usize,
    /// Messages at the front of its record that are done, where the disk did not take the rest.
    done: usize,
}

/// The queue.
#[derive(Debug)]
pub struct FailedQueue {
    path: PathBuf,
    file: File,
    end: u64,
    groups: BTreeMap<u64, Entry>,
    next: u64,
    live: u64,
    most: u64,
}

fn storage(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("{what} the failed batches in {}", path.display())).because(error)
}

/// Takes the file for this queue alone. A program that is being started somewhere in this process holds what was open, and
/// locked, when it was forked, until it runs: that is over in a moment.
fn lock(file: &File) -> io::Result<()> {
    for _ in 1..LOCK_TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_AGAIN),
            locked => return Ok(locked?),
        }
    }
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

impl FailedQueue {
    /// Opens the queue of a folder, which is made where it is missing. One process at a time.
    pub fn open(folder: &Path, most: u64) -> Result<(Self, FoundFailed), Error> {
        Self::open_named(folder, "failed-batches", most)
    }

    /// The same, of another name in that folder.
    pub(crate) fn open_named(folder: &Path, name: &str, most: u64) -> Result<(Self, FoundFailed), Error> {
        let path = folder.join(name);
        let opened = || {
            fs::create_dir_all(folder)?;
            let file = options().truncate(false).open(&path)?;
            lock(&file)?;
            let mut content = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
            file.read_exact_at(&mut content, 0)?;
            Ok((file, content))
        };
        let (file, content) = opened().map_err(|error| storage("opening", &path, error))?;
        let mut queue = Self { path, file, end: 0, groups: BTreeMap::new(), next: 1, live: 0, most };
        let found = queue.scan(&content);
        if found.torn_bytes > 0 {
            let cut = queue.file.set_len(queue.end).and_then(|()| queue.file.sync_all());
            cut.map_err(|error| storage("cutting a torn end off", &queue.path, error))?;
        }
        Ok((queue, found))
    }

    fn scan(&mut self, content: &[u8]) -> FoundFailed {
        let mut found = FoundFailed::default();
        let mut at = 0;
        while at < content.len() {
            let Some((kind, number, length)) = read_head(&content[at..]) else {
                // Whatever this was: the next head that is whole.
                let next = (at + 1..content.len()).find(|next| read_head(&content[*next..]).is_some());
                match next {
                    Some(next) => {
                        found.damaged += 1;
                        at = next;
                        continue;
                    }
                    None => break,
                }
            };
            let whole = HEAD + length + 4;
            let Some(record) = content.get(at..at + whole) else { break };
            let body = &record[HEAD..HEAD + length];
            let sum = u32::from_le_bytes(record[HEAD + length..].try_into().expect("four bytes"));
            self.next = self.next.max(number.saturating_add(1));
            match (kind, read_body(body)) {
                _ if crc32c::crc32c(body) != sum => found.damaged += 1,
                (DONE, _) => self.forget(number),
                (GROUP, Some(group)) => {
                    self.insert(number, at as u64, whole as u64, &group);
                }
                _ => found.damaged += 1,
            }
            at += whole;
            self.end = at as u64;
        }
        found.torn_bytes = (content.len() as u64).saturating_sub(self.end);
        found.groups = self.groups.len();
        found
    }

    /// Puts a group at the end; it is on disk when this returns. `Overloaded`: there is no room left for it.
    pub fn append(&mut self, group: &StoredGroup) -> Result<u64, Error> {
        let body = write_body(group);
        let record = write_record(GROUP, self.next, &body);
        let bytes = record.len() as u64;
        if self.live + bytes > self.most {
            let Self { path, live, most, .. } = self;
            let what = format!("{live} of {most} bytes of failed batches in {}: no more fit", path.display());
            return Err(Error::new(ErrorKind::Overloaded, what));
        }
        let at = self.end;
        self.write(&record)?;
        let number = self.next;
        self.next += 1;
        self.insert(number, at, bytes, group);
        Ok(number)
    }

    /// So many messages at the front of a group are done: the rest of it takes its place. Where the disk does not take that
    /// it is known while the process runs, and the whole group comes again after a restart.
    pub(crate) fn keep_rest(&mut self, number: u64, done: usize) -> Result<(), Error> {
        let mut group = self.read(number)?;
        let done = done.min(group.messages.len());
        group.messages.drain(..done);
        let (record, at) = (write_record(GROUP, number, &write_body(&group)), self.end);
        if let Err(error) = self.write(&record) {
            if let Some(entry) = self.groups.get_mut(&number) {
                (entry.done, entry.messages) = (entry.done + done, entry.messages - done);
            }
            return Err(error);
        }
        self.insert(number, at, record.len() as u64, &group);
        self.rewrite_if_long()
    }

    /// Reads a group.
    pub fn read(&self, number: u64) -> Result<StoredGroup, Error> {
        let unreadable = |why: &str| {
            let what = format!("failed batch {number} in {} cannot be read: {why}", self.path.display());
            Error::new(ErrorKind::Storage, what)
        };
        let entry = self.groups.get(&number).ok_or_else(|| unreadable("there is none"))?;
        let mut record = vec![0; usize::try_from(entry.bytes).unwrap_or(0)];
        self.file
            .read_exact_at(&mut record, entry.at)
            .map_err(|error| unreadable("the disk").because(error))?;
        let body = &record[HEAD..record.len() - 4];
        if crc32c::crc32c(body).to_le_bytes() != record[record.len() - 4..] {
            return Err(unreadable("it does not have its checksum"));
        }
        let mut group = read_body(body).ok_or_else(|| unreadable("it has no form"))?;
        group.messages.drain(..entry.done.min(group.messages.len()));
        Ok(group)
    }

    /// Takes a group out. Where the disk does not take even the word of that, its room is free all the same; the group
    /// comes again after a restart, unless the last one is taken out before.
    pub fn remove(&mut self, number: u64) -> Result<(), Error> {
        let noted = self.write(&write_record(DONE, number, &[]));
        self.forget(number);
        if self.groups.is_empty() {
            let emptied = self.file.set_len(0).and_then(|()| self.file.sync_all());
            emptied.map_err(|error| storage("emptying", &self.path, error))?;
            self.end = 0;
            return Ok(());
        }
        noted?;
        self.rewrite_if_long()
    }

    fn rewrite_if_long(&mut self) -> Result<(), Error> {
        if self.end > self.most.saturating_mul(REWRITE_AT) {
            self.rewrite().map_err(|error| storage("rewriting", &self.path, error))?;
        }
        Ok(())
    }

    /// Every group, oldest first.
    pub fn list(&self) -> Vec<FailedView> {
        let view = |(number, entry): (&u64, &Entry)| FailedView {
            number: *number,
            subject: entry.subject.clone(),
            messages: entry.messages,
            bytes: entry.bytes,
        };
        self.groups.iter().map(view).collect()
    }

    /// Bytes of groups.
    pub fn bytes(&self) -> u64 {
        self.live
    }

    /// A record of a group is there; one of the same number from before counts no more.
    fn insert(&mut self, number: u64, at: u64, bytes: u64, group: &StoredGroup) {
        self.forget(number);
        self.live += bytes;
        let (subject, messages) = (group.subject.clone(), group.messages.len());
        self.groups.insert(number, Entry { at, bytes, subject, messages, done: 0 });
    }

    fn forget(&mut self, number: u64) {
        if let Some(entry) = self.groups.remove(&number) {
            self.live -= entry.bytes;
        }
    }

    /// What is not written whole is taken back: nothing follows a torn record.
    fn write(&mut self, record: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all_at(record, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let _ = self.file.set_len(self.end);
            return Err(storage("writing to", &self.path, error));
        }
        self.end += record.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let file = options().truncate(true).open(&fresh)?;
        lock(&file)?;
        let (mut end, mut places) = (0, Vec::new());
        for (number, entry) in &self.groups {
            let mut record = vec![0; usize::try_from(entry.bytes).unwrap_or(0)];
            self.file.read_exact_at(&mut record, entry.at)?;
            file.write_all_at(&record, end)?;
            places.push((*number, end));
            end += entry.bytes;
        }
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        for (number, at) in places {
            if let Some(entry) = self.groups.get_mut(&number) {
                entry.at = at;
            }
        }
        (self.file, self.end) = (file, end);
        Ok(())
    }
}

fn write_record(kind: u8, number: u64, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + body.len() + 4);
    record.put_slice(MAGIC);
    record.put_u8(kind);
    record.put_u64_le(number);
    record.put_u32_le(u32::try_from(body.len()).expect("a group is bounded"));
    let sum = crc32c::crc32c(&record);
    record.put_u32_le(sum);
    record.put_slice(body);
    record.put_u32_le(crc32c::crc32c(body));
    record
}

/// The kind, number and length of the record that begins here.
fn read_head(bytes: &[u8]) -> Option<(u8, u64, usize)> {
    let head = bytes.get(..HEAD)?;
    let sum = u32::from_le_bytes(head[HEAD - 4..].try_into().ok()?);
    if &head[..4] != MAGIC || crc32c::crc32c(&head[..HEAD - 4]) != sum {
        return None;
    }
    let number = u64::from_le_bytes(head[5..13].try_into().ok()?);
    let length = u32::from_le_bytes(head[13..17].try_into().ok()?);
    Some((head[4], number, usize::try_from(length).ok()?))
}

fn write_body(group: &StoredGroup) -> Vec<u8> {
    let parts = [group.id.as_bytes(), group.subject.as_bytes()];
    let parts = parts.into_iter().chain(group.messages.iter().map(|message| &message[..]));
    let mut body = Vec::new();
    for part in parts {
        body.put_u32_le(u32::try_from(part.len()).expect("a message is bounded"));
        body.put_slice(part);
    }
    body
}

fn read_body(mut body: &[u8]) -> Option<StoredGroup> {
    let mut parts = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        parts.push(part);
        body = rest;
    }
    let [id, subject, messages @ ..] = parts.as_slice() else { return None };
    let text = |part: &[u8]| std::str::from_utf8(part).ok().map(str::to_owned);
    let messages = messages.iter().map(|part| Bytes::copy_from_slice(part)).collect();
    Some(StoredGroup { id: text(id)?, subject: text(subject)?, messages })
}

/// A file that is made for its owner alone: messages are in it.
fn options() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests;
