//! The services in one process: started together, watched together, drained together.

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::Bus;
use tidings_service::{CallError, Health, Lease, Server, ServerHandle};
use tidings_storage::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{self, AccountService};
use crate::chat::{self, ChatService};
use crate::clock::Clock;
use crate::deadletter::DeadLetterService;
use crate::host::unwritten::Unwritten;
use crate::moderation::ModerationService;
use crate::presence::PresenceService;
use crate::session::{self, SessionService};

/// The pause before a task that failed runs again: the bus or the store was away, and is asked gently.
const PAUSE: Duration = Duration::from_secs(1);

/// What the services are told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The service `account`.
    pub account: account::Config,
    /// The service `session`.
    pub session: session::Config,
    /// The service `chat`.
    pub chat: chat::Config,
    /// Held by the process that keeps the storage: none answers without it. None: nobody else can.
    pub lease: Option<Lease>,
    /// Mutes that zones of this process committed and storage may not have yet.
    pub unwritten: Arc<Unwritten>,
}

/// The services, running. They end with [`Services::drain`], and with the handle.
pub struct Services {
    account: AccountService,
    servers: Vec<ServerHandle>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Services {
    /// Starts them on the runtime this is called on. Each reports to `health`.
    pub async fn start(
        store: Store,
        bus: Bus,
        clock: Clock,
        config: Config,
        health: &Health,
    ) -> Result<Self, CallError> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let account = AccountService::new(store.clone(), bus.clone(), clock.clone(), config.account).await?;
        let session = SessionService::new(store.clone(), bus.clone(), clock.clone(), config.session)?;
        let presence = PresenceService::new(bus.clone())?;
        let chat = ChatService::new(store.clone(), bus.clone(), clock.clone(), config.chat)?;
        let moderation = ModerationService::new(store.clone(), bus.clone(), clock.clone(), config.unwritten);
        let deadletter = DeadLetterService::new(store, bus, clock, account.clone());
        let mut servers = Vec::new();
        let all = [
            session.server(),
            account.server(),
            presence.server(),
            moderation.server(),
            chat.server(),
            deadletter.server(),
        ];
        for server in all {
            let server = match &config.lease {
                Some(lease) => server.while_held(lease.clone()),
                None => server,
            };
            servers.push(start(server, health).await?);
        }
        macro_rules! keep_up {
            ($($service:ident),+) => {$(
                let (again, until) = ($service.clone(), stop.clone());
                tasks.spawn(keep_up(stringify!($service), stop.clone(), move || {
                    again.clone().maintain(until.clone())
                }));
            )+};
        }
        keep_up!(account, session, presence, moderation, chat, deadletter);
        tasks.close();
        Ok(Self { account, servers, stop, tasks })
    }

    /// The service `account`, for who needs it in this process.
    pub fn account(&self) -> &AccountService {
        &self.account
    }

    /// Stops taking calls, waits for those under way, ends the tasks.
    pub async fn drain(mut self, deadline: Duration) {
        let until = tokio::time::Instant::now() + deadline;
        for server in std::mem::take(&mut self.servers) {
            server.drain(until.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        self.stop.cancel();
        if tokio::time::timeout_at(until, self.tasks.wait()).await.is_err() {
            tracing::warn!("the services' tasks did not end in time");
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(server: Server, health: &Health) -> Result<ServerHandle, CallError> {
    Ok(server.health(health).start().await?)
}

/// Runs a task again when it fails, until it is told to stop.
async fn keep_up<F>(name: &'static str, stop: CancellationToken, run: impl Fn() -> F)
where
    F: Future<Output = Result<(), CallError>>,
{
    while !stop.is_cancelled() {
        if let Err(error) = run().await {
            tracing::warn!(service = name, %error, "a task of a service failed and begins again");
            metrics::counter!("tidings_services_tasks_failed_total", "service" => name).increment(1);
            let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
        } else {
            return;
        }
    }
}
