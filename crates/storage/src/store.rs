//! The handle that everything uses.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::backend::Backend;
use crate::sqlite::Sqlite;

/// The storage: cheap to clone, over any backend. All it does is in [`backend`](crate::backend).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = tidings_storage::Store::memory().await?;
/// store.set_setting("motd", Some("Welcome.")).await?;
/// assert_eq!(store.setting("motd").await?.as_deref(), Some("Welcome."));
/// # Ok::<(), tidings_storage::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

impl Store {
    /// Over a backend.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// SQLite in a file, which is made (readable by its owner alone) where there is none; its tables are brought
    /// up to date. `Schema`: the file was made by a newer version.
    pub async fn sqlite(path: &Path) -> Result<Self> {
        Ok(Self::new(Arc::new(Sqlite::open(path).await?)))
    }

    /// SQLite in memory, for tests: gone with the last clone.
    pub async fn memory() -> Result<Self> {
        Ok(Self::new(Arc::new(Sqlite::memory().await?)))
    }
}

impl Deref for Store {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
