//! What can be asked, and doing it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_bus::DeadLetterQueues;
use tidings_protocol::proto::services::v1::AccountInfo;
use tidings_protocol::{AccountId, ErrorCode};
use tidings_service::dead_letters::{self, Ask};
use tidings_service::{CallError, Caller};
use tidings_storage::{Ban, Store};
use tidings_world_service::account::admin::Admin;
use tidings_world_service::clock::wall_clock;

use crate::args::Role;
use crate::commands::streams;
use crate::edges;

/// Violations of one answer: a few screens, the newest.
const VIOLATIONS_SHOWN_MAX: usize = 200;

/// What is asked. Never printed: it may hold a password.
#[derive(Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)] // the names say it
pub enum Request {
    /// What is in force in the server.
    Config {},
    /// Who went over a limit of the server.
    Violations {},
    /// About what work queues could not do.
    DeadLetters {
        ask: Ask,
    },
    /// The logs there are.
    Streams {},
    UserAdd {
        name: String,
        role: Role,
        password: Option<String>,
    },
    /// A page of accounts after this name.
    UserList {
        after: String,
    },
    UserRole {
        name: String,
        role: Role,
    },
    UserPassword {
        name: String,
        password: String,
    },
    UserBan {
        name: String,
        minutes: Option<u32>,
        reason: String,
    },
    UserUnban {
        name: String,
    },
    UserRemove {
        name: String,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Response {
    /// Done, with what was asked for.
    Done { data: Value },
    /// Not done, and why.
    Failed { message: String },
}

/// Does what is asked.
pub struct Verbs {
    admin: Admin,
    store: Store,
    server: Option<Box<Running>>,
    queues: Option<DeadLetterQueues>,
}

/// What only a running server knows.
pub struct Running {
    /// The calls of its services.
    pub caller: Caller,
    /// Its configuration's report.
    pub config: Value,
}

impl Verbs {
    /// Over a store, and the running server where one runs.
    pub fn new(store: Store, server: Option<Running>) -> Result<Self, CallError> {
        let caller = server.as_ref().map(|server| server.caller.clone());
        let queues = caller.as_ref().map(|caller| dead_letters::queues(caller.bus().clone()));
        Ok(Self {
            queues,
            admin: Admin::new(store.clone(), caller, wall_clock())?,
            store,
            server: server.map(Box::new),
        })
    }

    /// Does it.
    pub async fn run(&self, request: Request) -> Response {
        match self.try_run(request).await {
            Ok(data) => Response::Done { data },
            Err(error) => Response::Failed { message: error.message },
        }
    }

    async fn try_run(&self, request: Request) -> Result<Value, CallError> {
        let done = json!({});
        match request {
            Request::Config {} => Ok(self.running()?.config.clone()),
            Request::Violations {} => self.violations().await,
            Request::Streams {} => Ok(streams::logs(self.running()?.caller.bus()).await?),
            Request::DeadLetters { ask } => {
                let queues = self.queues.as_ref().ok_or_else(no_server)?;
                dead_letters::answer(queues, ask).await
            }
            Request::UserAdd { name, role, password } => {
                Ok(account(&self.admin.add(&name, role.into(), password.as_deref()).await?))
            }
            Request::UserList { after } => {
                let page = self.admin.list(&after).await?;
                Ok(json!({ "accounts": page.iter().map(account).collect::<Vec<_>>() }))
            }
            Request::UserRole { name, role } => self.admin.role(&name, role.into()).await.map(|()| done),
            Request::UserPassword { name, password } => {
                self.admin.password(&name, &password).await.map(|()| done)
            }
            Request::UserBan { name, minutes, reason } => {
                self.admin.ban(&name, Some(ban(minutes, reason))).await.map(|()| done)
            }
            Request::UserUnban { name } => self.admin.ban(&name, None).await.map(|()| done),
            Request::UserRemove { name } => self.admin.remove(&name).await.map(|()| done),
        }
    }
}

impl Verbs {
    fn running(&self) -> Result<&Running, CallError> {
        self.server.as_deref().ok_or_else(no_server)
    }

    /// The newest violations at all edges; accounts by their names.
    async fn violations(&self) -> Result<Value, CallError> {
        let edges::Seen { violations, silent } = edges::violations(&self.running()?.caller).await?;
        let mut names: HashMap<AccountId, Option<String>> = HashMap::new();
        let mut list = Vec::new();
        for (edge, one) in violations.into_iter().take(VIOLATIONS_SHOWN_MAX) {
            let mut entry = json!({
                "edge": edge, "at_ms": one.at_ms, "limit": one.limit, "who": one.who, "outcome": one.outcome,
                "count": one.count,
            });
            if let Ok(id) = one.who.parse::<AccountId>() {
                if let Entry::Vacant(unknown) = names.entry(id) {
                    let account = self
                        .store
                        .account(id)
                        .await
                        .map_err(|error| CallError::new(ErrorCode::Unavailable, error.to_string()))?;
                    unknown.insert(account.map(|account| account.username.to_string()));
                }
                entry["username"] = json!(names[&id]);
            }
            list.push(entry);
        }
        Ok(json!({ "violations": list, "silent": silent }))
    }
}

fn no_server() -> CallError {
    CallError::new(ErrorCode::FailedPrecondition, "No server runs here.")
}

fn ban(minutes: Option<u32>, reason: String) -> Ban {
    let until_ms = minutes.map(|minutes| wall_clock()() + i64::from(minutes) * 60_000);
    Ban { until_ms, reason }
}

fn account(info: &AccountInfo) -> Value {
    json!({
        "id": info.id,
        "username": info.username,
        "role": info.role,
        "banned": info.banned,
        "created_ms": info.created_ms,
    })
}
