//! A disk that loses power: everything after the last sync may be gone, there, or there in part, sector by sector in
//! any order, over whatever stood there before; it fills up; its bits flip. Seeded, so that a failure replays.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tidings_bus::embedded::files::{FileLayer, LogFile};

/// What a disk writes whole.
const SECTOR: usize = 512;
/// Bytes made ready ahead, unless a test says otherwise: several times a segment, and less than some commits.
const AHEAD: u64 = 1_500;

#[derive(Clone)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Default)]
struct FileState {
    /// As a running process reads it.
    now: Vec<u8>,
    /// As it is on disk for certain.
    synced: Vec<u8>,
    since: Vec<Op>,
}

fn apply(data: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write(at, bytes) => {
            let end = *at as usize + bytes.len();
            if data.len() < end {
                data.resize(end, 0);
            }
            data[*at as usize..end].copy_from_slice(bytes);
        }
        Op::SetLen(len) => data.resize(*len as usize, 0),
    }
}

type Names = BTreeMap<String, Arc<Mutex<FileState>>>;

struct State {
    names: Names,
    synced_names: Names,
    /// Operations until the power goes; `None`: it stays.
    left: Option<u64>,
    /// It is gone: nothing reaches the disk any more, whatever is still tried.
    dark: bool,
    /// Operations so far: each is a boundary at which the power may go.
    ops: u64,
    /// Bytes there is room for.
    room: Option<usize>,
    /// Bytes that the log makes ready ahead.
    ahead: u64,
    /// Operations of kind sync that fail from now on.
    failing_syncs: usize,
    /// How long a sync takes.
    sync_takes: Duration,
    /// Compactions that were put in place.
    compactions: usize,
    /// Those that were begun before the one before them was.
    overlaps: usize,
}

/// The disk. Clones are the same one.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Everything after the last sync is gone.
    All,
    /// Of what came after the last sync, some sectors are there and some not.
    Torn,
    /// The process is killed, the disk stays: everything written is there.
    None,
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.ops += 1;
        match &mut self.left {
            Some(0) => {
                self.dark = true;
                Err(gone())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| file.lock().now.len()).sum()
    }
}

impl Disk {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            names: Names::new(),
            synced_names: Names::new(),
            left: None,
            dark: false,
            ops: 0,
            room: None,
            ahead: AHEAD,
            failing_syncs: 0,
            sync_takes: Duration::ZERO,
            compactions: 0,
            overlaps: 0,
        })))
    }

    pub fn files(&self) -> Arc<dyn FileLayer> {
        Arc::new(self.clone())
    }

    /// The power goes after this many more operations.
    pub fn lose_power_after(&self, ops: u64) {
        self.0.lock().left = Some(ops);
    }

    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    pub fn set_room(&self, room: Option<usize>) {
        self.0.lock().room = room;
    }

    pub fn set_ahead(&self, ahead: u64) {
        self.0.lock().ahead = ahead;
    }

    pub fn fail_syncs(&self, count: usize) {
        self.0.lock().failing_syncs = count;
    }

    pub fn set_sync_takes(&self, time: Duration) {
        self.0.lock().sync_takes = time;
    }

    pub fn compactions(&self) -> usize {
        self.0.lock().compactions
    }

    pub fn overlaps(&self) -> usize {
        self.0.lock().overlaps
    }

    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// The disk as it is found after the power came back.
    pub fn after(&self, loss: Loss, seed: u64) -> Disk {
        let mut random = StdRng::seed_from_u64(seed);
        let state = self.0.lock();
        let ahead = state.ahead;
        let names = match loss {
            Loss::All => &state.synced_names,
            Loss::Torn if random.random_bool(0.5) => &state.synced_names,
            _ => &state.names,
        };
        let found: Names = names
            .iter()
            .map(|(name, file)| {
                let data = what_is_left(&file.lock(), loss, &mut random);
                (
                    name.clone(),
                    Arc::new(Mutex::new(FileState { now: data.clone(), synced: data, since: Vec::new() })),
                )
            })
            .collect();
        let disk = Disk::new();
        {
            let mut state = disk.0.lock();
            state.synced_names = found.clone();
            state.names = found;
            state.ahead = ahead;
        }
        disk
    }

    /// Flips a bit of a file, as it is read from now on.
    pub fn flip(&self, name: &str, offset: usize, bit: u8) {
        let file = self.0.lock().names[name].clone();
        let mut file = file.lock();
        file.now[offset] ^= 1 << bit;
        file.synced = file.now.clone();
    }

    /// Zeros after a file's end.
    pub fn grow(&self, name: &str, by: usize) {
        let file = self.0.lock().names[name].clone();
        let mut file = file.lock();
        let len = file.now.len() + by;
        file.now.resize(len, 0);
        file.synced = file.now.clone();
    }

    pub fn len(&self, name: &str) -> usize {
        self.0.lock().names[name].lock().now.len()
    }
}

fn what_is_left(file: &FileState, loss: Loss, random: &mut StdRng) -> Vec<u8> {
    match loss {
        Loss::All => file.synced.clone(),
        Loss::None => file.now.clone(),
        Loss::Torn => torn(file, random),
    }
}

/// Which of the sectors that were written since the last sync reached the disk.
enum Tear {
    /// Each or not, in any order; of one that was written more than once, any of its writes.
    Scattered,
    /// The first, as a process writes them.
    First(usize),
    /// The last: what was written first is missing.
    Last(usize),
    /// All but one.
    AllBut(usize),
}

/// Each sector as it was at some moment since the last sync. The length is another such thing, so that what lies
/// below it may never have been written: it is zeros then.
fn torn(file: &FileState, random: &mut StdRng) -> Vec<u8> {
    let mut moments = vec![file.synced.clone()];
    for op in &file.since {
        let mut next = moments[moments.len() - 1].clone();
        apply(&mut next, op);
        moments.push(next);
    }
    let sector = |moment: usize, place: usize| {
        let data: &[u8] = &moments[moment];
        let start = (place * SECTOR).min(data.len());
        let mut bytes = [0; SECTOR];
        let found = &data[start..data.len().min(start + SECTOR)];
        bytes[..found.len()].copy_from_slice(found);
        bytes
    };
    let (old, new) = (0, moments.len() - 1);
    let sectors = moments.iter().map(Vec::len).max().unwrap_or(0).div_ceil(SECTOR);
    let changed: Vec<usize> = (0..sectors)
        .filter(|place| (1..=new).any(|moment| sector(moment, *place) != sector(old, *place)))
        .collect();
    let tear = match random.random_range(0..6) {
        0 => Tear::First(random.random_range(0..=changed.len())),
        1 => Tear::Last(random.random_range(0..=changed.len())),
        2 => Tear::AllBut(random.random_range(0..changed.len().max(1))),
        _ => Tear::Scattered,
    };
    let len = moments[if random.random_bool(0.5) { new } else { random.random_range(0..=new) }].len();
    let mut data = Vec::new();
    for place in 0..len.div_ceil(SECTOR) {
        let nth = changed.iter().position(|other| *other == place).unwrap_or(0);
        let there = match tear {
            Tear::Scattered => None,
            Tear::First(count) => Some(nth < count),
            Tear::Last(count) => Some(nth + count >= changed.len()),
            Tear::AllBut(lost) => Some(nth != lost),
        };
        let moment =
            there.map_or_else(|| random.random_range(0..=new), |there| if there { new } else { old });
        data.extend_from_slice(&sector(moment, place));
    }
    data.truncate(len);
    data
}

impl FileLayer for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.0.lock();
        if !state.names.contains_key(name) {
            state.step()?;
        } else if name.ends_with(".log.tmp") {
            state.overlaps += 1;
        }
        let file = state.names.entry(name.to_owned()).or_default().clone();
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.compactions += usize::from(from.ends_with(".log.tmp"));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.step()?;
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn reads_block(&self) -> bool {
        false
    }

    fn ahead(&self) -> u64 {
        self.0.lock().ahead
    }

    fn place(&self) -> String {
        "a simulated disk".to_owned()
    }
}

struct SimFile {
    disk: Disk,
    file: Arc<Mutex<FileState>>,
}

impl SimFile {
    fn change(&self, op: Op) -> io::Result<()> {
        let mut file = self.file.lock();
        apply(&mut file.now, &op);
        file.since.push(op);
        Ok(())
    }
}

impl LogFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.file.lock();
        let start = offset as usize;
        let data = file.now.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(data);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let mut data = data;
        if state.dark {
            return Err(gone());
        }
        // The power may go in the middle of a write, and the disk may fill up in it.
        let gone = state.step().err();
        if gone.is_some() {
            data = &data[..data.len() / 2];
        }
        let len = self.file.lock().now.len();
        let more = (offset as usize + data.len()).saturating_sub(len);
        let room = state.room.map(|room| room.saturating_sub(state.used()));
        drop(state);
        if let Some(room) = room
            && more > room
        {
            let fits = data.len() - (more - room);
            self.change(Op::Write(offset, data[..fits].to_vec()))?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(Op::Write(offset, data.to_vec()))?;
        gone.map_or(Ok(()), Err)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.lock().now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.0.lock().step()?;
        self.change(Op::SetLen(len))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("the sync failed"));
        }
        let takes = state.sync_takes;
        drop(state);
        std::thread::sleep(takes);
        let mut file = self.file.lock();
        file.synced = file.now.clone();
        file.since.clear();
        Ok(())
    }
}
