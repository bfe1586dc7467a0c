//! What can be asked, and doing it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_protocol::proto::services::v1::AccountInfo;
use tidings_service::{CallError, Caller};
use tidings_storage::{Ban, Store};
use tidings_world_service::account::admin::Admin;
use tidings_world_service::clock::wall_clock;

use crate::args::Role;

/// What is asked. Never printed: it may hold a password.
#[derive(Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs)] // the names say it
pub enum Request {
    /// What is in force in the server.
    Config {},
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
    config: Value,
}

impl Verbs {
    /// Over a store; with the calls of the running server where one runs, and its configuration's report.
    pub fn new(store: Store, caller: Option<Caller>, config: Value) -> Result<Self, CallError> {
        Ok(Self { admin: Admin::new(store, caller, wall_clock())?, config })
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
            Request::Config {} => Ok(self.config.clone()),
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
