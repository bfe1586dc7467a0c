//! The way of a command to messaging: a cluster that is configured, else the server that runs on the data folder, else
//! the folder itself.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tidings_bus::DeadLetterQueues;
use tidings_service::dead_letters::{self, Ask};

use crate::backend::{self, Messaging};
use crate::config::Config;
use crate::control::{Access, Request};
use crate::data::{DataFolder, Held};
use crate::process;

/// How long another command, or a server that starts, may hold the folder.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);
/// How long what is under way may take in the end.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// One way to messaging.
pub enum Way {
    /// A server runs.
    Server(Access),
    /// This process is on the bus.
    Here(Box<Here>),
}

/// Messaging of this process.
pub struct Here {
    runtime: tokio::runtime::Runtime,
    messaging: Messaging,
    queues: DeadLetterQueues,
    _folder: Option<DataFolder>,
}

impl Way {
    /// Opens the way there is.
    pub fn open(config: &Config) -> Result<Self> {
        if config.uses_nats() {
            return Self::here(config, None);
        }
        let path = config.data();
        if !path.is_dir() {
            bail!("there is no data folder at {}", path.display());
        }
        if let Some(server) = Access::server(&path)? {
            return Ok(Self::Server(server));
        }
        match DataFolder::hold(&path, FOLDER_PATIENCE)? {
            Held::Ours(folder) => Self::here(config, Some(folder)),
            Held::Theirs(pid) => match Access::server(&path)? {
                Some(server) => Ok(Self::Server(server)),
                None => {
                    let who =
                        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                    bail!("{who} holds the data folder {} and does not answer", path.display())
                }
            },
        }
    }

    fn here(config: &Config, folder: Option<DataFolder>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let name = process::name(config.instance()).context("a name for this process")?;
        let log = folder.as_ref().map(DataFolder::log);
        let messaging = runtime.block_on(backend::visit(config, &name, log.as_deref()))?;
        let queues = dead_letters::queues(messaging.bus.clone());
        Ok(Self::Here(Box::new(Here { runtime, messaging, queues, _folder: folder })))
    }

    /// Asks about dead letters.
    pub fn dead_letters(&mut self, ask: Ask) -> Result<Value> {
        match self {
            Self::Server(access) => access.ask(Request::DeadLetters { ask }),
            Self::Here(here) => {
                let answer = here.runtime.block_on(dead_letters::answer(&here.queues, ask));
                answer.map_err(|error| anyhow!("{}", error.message))
            }
        }
    }

    /// The logs of messaging in the process.
    pub fn logs(&mut self) -> Result<Value> {
        match self {
            Self::Server(access) => access.ask(Request::Streams {}),
            Self::Here(here) => Ok(here.runtime.block_on(super::streams::logs(&here.messaging.bus))?),
        }
    }

    /// Ends it.
    pub fn close(self) {
        if let Self::Here(here) = self {
            here.runtime.block_on(here.messaging.bus.drain(CLOSE_WAIT));
        }
    }
}
