//! `tidings serve`: what the roles say in one process, put together, watched and taken down in order.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tidings_storage::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands;
use crate::config::Config;
use crate::control::{Control, Running, Verbs};
use crate::data::{DataFolder, Held};
use crate::keeper::Keeping;
use crate::server::Server;
use crate::{output, process};

/// How long a command, or a server that is going down, may hold the folder.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);

/// Serves until the process is told to stop.
pub fn run(config: Config) -> anyhow::Result<()> {
    start_log(&config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    process::raise_descriptors();
    let name = process::name(config.instance()).context("a name for this process")?;
    // What keeps nothing opens nothing: neither the folder nor what is in it.
    let held = if config.roles().keeps_storage() {
        Some((commands::world::load(config.world().as_deref())?, hold(&config)?))
    } else {
        None
    };
    let metrics = process::metrics().context("metrics")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("threads")?;
    runtime.block_on(async {
        // Heard from the first moment on: whoever sees the socket or the address may stop the server.
        let mut stops = Stops::new()?;
        let _upkeep = process::keep_up(metrics.clone());
        let keeping = match held {
            Some((content, folder)) => {
                let store = Store::sqlite(&folder.database()).await.context("the database")?;
                Some(Keeping { content: Arc::new(content), folder, store })
            }
            None => None,
        };
        let server = Server::start(&config, &name, keeping.as_ref(), Some(metrics)).await?;
        let control = keeping.as_ref().map(|keeping| control(&config, keeping, &server)).transpose()?;
        tell(&config, &name, &server);
        let why = stops.told(&server).await;
        output::say("Stopping; what is under way is finished first.");
        server.drain(config.drain()).await;
        if let Some(control) = control {
            control.close(config.drain()).await;
        }
        if let Some(keeping) = keeping {
            keeping.store.close().await;
        }
        why
    })
}

/// The control socket is where the storage is.
fn control(config: &Config, keeping: &Keeping, server: &Server) -> anyhow::Result<Control> {
    let running = Running { caller: server.caller(), config: config.report() };
    let verbs = Verbs::new(keeping.store.clone(), Some(running))?;
    Control::start(&keeping.folder, verbs).context("the control socket")
}

/// What runs, and where.
fn tell(config: &Config, name: &str, server: &Server) {
    let (roles, address) = (config.roles(), server.address());
    if roles.edge {
        output::say(&format!("Tidings is running: http://{address}"));
    } else {
        output::say(&format!("Tidings is running; health and metrics: http://{address}"));
    }
    if let Some(messaging) = server.messaging() {
        let data = config.data();
        let keeps =
            if roles.keeps_storage() { format!("; data in {}", data.display()) } else { String::new() };
        output::say(&format!("{name}: {roles}; on {messaging}{keeps}"));
    }
}

fn hold(config: &Config) -> anyhow::Result<DataFolder> {
    let path = config.data();
    match DataFolder::hold(&path, FOLDER_PATIENCE)? {
        Held::Ours(folder) => Ok(folder),
        Held::Theirs(pid) => {
            let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
            bail!("{who} serves the data folder {} already; --data names another", path.display());
        }
    }
}

/// Log lines go to standard error: standard output is for the address.
fn start_log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::new(config.log_level());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    if config.log_json() {
        log.json().init();
    } else {
        log.init();
    }
}

/// The ways to be told to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("signals");
        Ok(Self { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    async fn told(&mut self, server: &Server) -> anyhow::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Ok(()),
            why = server.stop_wanted() => why,
        }
    }
}
