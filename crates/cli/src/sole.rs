//! One process keeps the storage of a world. On one machine the lock of the data folder sees to it; on a cluster, where
//! another machine has another folder, a key that this process holds as long as it lives.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use tidings_bus::{Bus, Error, ErrorKind, Kv};
use tidings_service::{Dependency, Health, Lease};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::data::DataFolder;

/// Where it is held: beside the leases of zones, whose names hold no dot.
const BUCKET: &str = "leases";
const KEY: &str = "storage.keeper";
/// How long it stays with a process that died: as long as its zones do.
const LEASE: Duration = Duration::from_secs(10);
/// How long a start waits for the one before: until that one's lease has lapsed, and a little.
const PATIENCE: Duration = Duration::from_secs(13);
/// How soon a renewal that failed is tried again: services answer nothing meanwhile, once the lease has lapsed.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a start looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Held while it lives.
pub struct SoleKeeper {
    kv: Kv,
    name: String,
    lost: CancellationToken,
    lease: Lease,
    _renewing: AbortOnDropHandle<()>,
}

impl SoleKeeper {
    /// Takes it, or says who has it. Whoever had this data folder before is dead, since the folder's lock is held: what
    /// that one held, this key and the leases of its zones, need not lapse first.
    pub async fn take(bus: &Bus, name: &str, folder: &DataFolder, health: &Health) -> Result<Self> {
        let kv = bus.kv(BUCKET)?;
        if let Some(before) = folder.keeper() {
            free_held_by(&kv, &before).await?;
        }
        let until = tokio::time::Instant::now() + PATIENCE;
        let (asked, revision) = loop {
            let asked = Instant::now();
            match kv.create(KEY, Bytes::copy_from_slice(name.as_bytes()), Some(LEASE)).await {
                Ok(revision) => break (asked, revision),
                Err(error) if error.kind() == ErrorKind::WrongRevision => {}
                Err(error) => return Err(error.into()),
            }
            if tokio::time::Instant::now() >= until {
                let who = holder(&kv).await?.map_or_else(|| "another process".to_owned(), |(who, _)| who);
                bail!(
                    "{who} keeps the storage of this world already, and one process does ('zone,services'); another \
                     world on this cluster needs a 'subject_prefix' of its own"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        folder.keep_keeper(name)?;
        let (lost, lease) = (CancellationToken::new(), Lease::until(asked + LEASE));
        let held = health.dependency(KEY);
        held.ready();
        let renewing = Renewing { kv: kv.clone(), name: name.to_owned(), lease: lease.clone(), held };
        let renewing = AbortOnDropHandle::new(tokio::spawn(renewing.run(revision, lost.clone())));
        Ok(Self { kv, name: name.to_owned(), lost, lease, _renewing: renewing })
    }

    /// Whether it is held, by this process's clock: what has to know before it is told.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Cancelled when another process keeps the storage.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives it back: the next one need not wait.
    pub async fn release(self) {
        let Self { kv, name, .. } = self;
        let released = async {
            match holder(&kv).await? {
                Some((who, revision)) if who == name => kv.delete_revision(KEY, revision).await,
                _ => Ok(()),
            }
        };
        if !matches!(tokio::time::timeout(LEASE / 3, released).await, Ok(Ok(()))) {
            tracing::debug!("the storage's key was not given back; it will lapse");
        }
    }
}

/// Frees everything in the bucket that a process of this name held.
async fn free_held_by(kv: &Kv, name: &str) -> Result<(), Error> {
    for key in kv.keys().await? {
        let Some(entry) = kv.get(&key).await?.filter(|entry| entry.value == name.as_bytes()) else {
            continue;
        };
        match kv.delete_revision(&key, entry.revision).await {
            Err(error) if error.kind() != ErrorKind::WrongRevision => return Err(error),
            _ => tracing::info!(key, holder = name, "was held by the process before this one"),
        }
    }
    Ok(())
}

/// Who has it, and at which revision.
async fn holder(kv: &Kv) -> Result<Option<(String, u64)>, Error> {
    let entry = kv.get(KEY).await?;
    Ok(entry.map(|entry| (String::from_utf8_lossy(&entry.value).into_owned(), entry.revision)))
}

/// What a renewal came to.
enum Renewed {
    /// The lease begins anew; at this revision.
    Extended(u64),
    /// It is still this process's, by a renewal whose answer was lost: since when is not known.
    Found(u64),
    /// Another process has it.
    Lost(String),
}

/// What renews it.
struct Renewing {
    kv: Kv,
    name: String,
    lease: Lease,
    /// Not ready where it has lapsed: nothing is answered then.
    held: Dependency,
}

impl Renewing {
    async fn once(&self, revision: u64) -> Result<Renewed, Error> {
        let value = Bytes::copy_from_slice(self.name.as_bytes());
        match self.kv.update(KEY, value.clone(), revision, Some(LEASE)).await {
            Err(error) if error.kind() == ErrorKind::WrongRevision => match holder(&self.kv).await? {
                Some((who, found)) if who == self.name => Ok(Renewed::Found(found)),
                Some((who, _)) => Ok(Renewed::Lost(who)),
                None => Ok(Renewed::Extended(self.kv.create(KEY, value, Some(LEASE)).await?)),
            },
            renewed => Ok(Renewed::Extended(renewed?)),
        }
    }

    /// Renews it until it is another's; at once where somebody finds that it has lapsed. A cluster that was away may have
    /// forgotten it: then it is taken anew.
    async fn run(self, mut revision: u64, lost: CancellationToken) {
        let mut pause = LEASE / 3;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.lease.doubted(), if pause > AGAIN => {}
            }
            let asked = Instant::now();
            match self.once(revision).await {
                Ok(Renewed::Extended(renewed)) => {
                    self.lease.extend(asked + LEASE);
                    self.held.ready();
                    (revision, pause) = (renewed, LEASE / 3);
                }
                Ok(Renewed::Found(found)) => (revision, pause) = (found, Duration::ZERO),
                Ok(Renewed::Lost(who)) => {
                    tracing::error!(%who, "another process keeps the storage of this world");
                    self.held.failed(format!("{who} keeps the storage of this world"));
                    return lost.cancel();
                }
                Err(error) => {
                    tracing::warn!(%error, "the storage's key could not be renewed");
                    if !self.lease.is_held() {
                        self.held.failed(error.to_string());
                    }
                    pause = AGAIN;
                }
            }
        }
    }
}
