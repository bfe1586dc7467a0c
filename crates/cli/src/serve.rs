//! `tidings serve`: everything in one process, put together, watched and taken down in order.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, bail};
use tidings_storage::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::commands;
use crate::config::Config;
use crate::control::{Control, Running, Verbs};
use crate::data::{DataFolder, Held};
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
    let content = commands::world::load(config.world().as_deref())?;
    let folder = hold(&config)?;
    let metrics = process::metrics().context("metrics")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("threads")?;
    runtime.block_on(async {
        // Heard from the first moment on: whoever sees the socket or the address may stop the server.
        let mut stops = Stops::new()?;
        let _upkeep = process::keep_up(metrics.clone());
        let store = Store::sqlite(&folder.database()).await.context("the database")?;
        let server = Server::start(&config, content, &folder, store.clone(), Some(metrics)).await?;
        let running = Running { caller: server.caller(), config: config.report(), limits: server.limits() };
        let verbs = Verbs::new(store.clone(), Some(running))?;
        let control = Control::start(&folder, verbs).context("the control socket")?;
        output::say(&format!("Tidings is running: http://{}", server.address()));
        stops.told(&server.shutdown_wanted()).await;
        output::say("Stopping; what is under way is finished first.");
        server.drain(config.drain()).await;
        control.close(config.drain()).await;
        store.close().await;
        Ok(())
    })
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

    async fn told(&mut self, shutdown: &CancellationToken) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = shutdown.cancelled() => {}
        }
    }
}
