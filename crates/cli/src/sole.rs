//! One process keeps the storage of a world. On one machine the lock of the data folder sees to it; on a cluster, where
//! another machine has another folder, a key that this process holds as long as it lives.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use tidings_bus::{Bus, Error, ErrorKind, Kv};
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
/// How often a start looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Held while it lives.
pub struct SoleKeeper {
    kv: Kv,
    name: String,
    lost: CancellationToken,
    _renewing: AbortOnDropHandle<()>,
}

impl SoleKeeper {
    /// Takes it, or says who has it. Whoever had this data folder before is dead, since the folder's lock is held: what
    /// that one held, this key and the leases of its zones, need not lapse first.
    pub async fn take(bus: &Bus, name: &str, folder: &DataFolder) -> Result<Self> {
        let kv = bus.kv(BUCKET)?;
        if let Some(before) = folder.keeper() {
            free_held_by(&kv, &before).await?;
        }
        let until = tokio::time::Instant::now() + PATIENCE;
        let revision = loop {
            match kv.create(KEY, Bytes::copy_from_slice(name.as_bytes()), Some(LEASE)).await {
                Ok(revision) => break revision,
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
        let lost = CancellationToken::new();
        let renewing = renew(kv.clone(), name.to_owned(), revision, lost.clone());
        let renewing = AbortOnDropHandle::new(tokio::spawn(renewing));
        Ok(Self { kv, name: name.to_owned(), lost, _renewing: renewing })
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

/// Renews it until it is another's. A cluster that was away may have forgotten it: then it is taken anew.
async fn renew(kv: Kv, name: String, mut revision: u64, lost: CancellationToken) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        let value = Bytes::copy_from_slice(name.as_bytes());
        let renewed = match kv.update(KEY, value.clone(), revision, Some(LEASE)).await {
            Err(error) if error.kind() == ErrorKind::WrongRevision => match holder(&kv).await {
                Ok(Some((who, found))) if who == name => Ok(found),
                Ok(Some((who, _))) => {
                    tracing::error!(%who, "another process keeps the storage of this world");
                    return lost.cancel();
                }
                Ok(None) => kv.create(KEY, value, Some(LEASE)).await,
                Err(error) => Err(error),
            },
            renewed => renewed,
        };
        match renewed {
            Ok(renewed) => revision = renewed,
            Err(error) => tracing::warn!(%error, "the storage's key could not be renewed"),
        }
    }
}
