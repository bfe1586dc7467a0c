//! How a command reaches the accounts: through the control socket of a running server, or by holding the data folder
//! itself where none runs. Both ways run the same verbs.
//!
//! The socket lies in the data folder, mode 0600: whoever may read the folder may use it. One JSON object a line each
//! way; a line is bounded, a connection has a deadline, and few are served at once.

mod client;
mod server;
mod verbs;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tidings_bus::dead_letters::LETTER_LINE_BYTES_MAX;
use tidings_storage::Store;

use crate::data::{DataFolder, Held};

pub use server::Control;
pub use verbs::{Request, Response, Running, Verbs};

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";
/// Longest request: a line of dead letters to import, which is a text in JSON once more.
const REQUEST_BYTES_MAX: usize = LETTER_LINE_BYTES_MAX * 2;
/// Longest answer: a page of dead letters, whose last may be as long as a line of them.
const RESPONSE_BYTES_MAX: usize = LETTER_LINE_BYTES_MAX * 2;
/// How long another command may hold the folder before this one gives up.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a server that holds the folder may take to open its socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(10);

/// One way to the accounts.
pub enum Access {
    /// A server runs.
    Server(client::Client),
    /// The folder is held by this process.
    Folder { verbs: Box<Verbs>, store: Store, runtime: tokio::runtime::Runtime, _folder: DataFolder },
}

impl Access {
    /// Opens the way there is. A folder that does not exist is made where `create` says so.
    pub fn open(path: &Path, create: bool) -> anyhow::Result<Self> {
        if !create && !path.is_dir() {
            bail!("there is no data folder at {}", path.display());
        }
        if let Some(client) = client::Client::connect(path)? {
            return Ok(Self::Server(client));
        }
        match DataFolder::hold(path, Duration::ZERO)? {
            Held::Ours(folder) => Self::hold(folder),
            // A server that is starting, or another command: whichever of the two comes first.
            Held::Theirs(_) => Self::wait(path),
        }
    }

    fn wait(path: &Path) -> anyhow::Result<Self> {
        let until = std::time::Instant::now() + SOCKET_PATIENCE;
        loop {
            if let Some(client) = client::Client::connect(path)? {
                return Ok(Self::Server(client));
            }
            match DataFolder::hold(path, FOLDER_PATIENCE / 50)? {
                Held::Ours(folder) => return Self::hold(folder),
                Held::Theirs(_) if std::time::Instant::now() < until => {}
                Held::Theirs(pid) => {
                    let who =
                        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                    bail!("{who} holds the data folder {} and does not answer", path.display());
                }
            }
        }
    }

    fn hold(folder: DataFolder) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let database = folder.database();
        let store = runtime
            .block_on(Store::sqlite(&database))
            .with_context(|| format!("the database {}", database.display()))?;
        let verbs = Box::new(Verbs::new(store.clone(), None)?);
        Ok(Self::Folder { verbs, store, runtime, _folder: folder })
    }

    /// Asks a running server, if one runs.
    pub fn server(path: &Path) -> anyhow::Result<Option<Self>> {
        Ok(client::Client::connect(path)?.map(Self::Server))
    }

    /// Does it and waits for the outcome.
    pub fn ask(&mut self, request: Request) -> anyhow::Result<serde_json::Value> {
        let response = match self {
            Self::Server(client) => client.ask(&request)?,
            Self::Folder { verbs, runtime, .. } => runtime.block_on(verbs.run(request)),
        };
        match response {
            Response::Done { data } => Ok(data),
            Response::Failed { message } => bail!("{message}"),
        }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Self::Folder { store, runtime, .. } = self {
            runtime.block_on(store.close());
        }
    }
}
