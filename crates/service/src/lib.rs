//! A harness for services on the bus: typed calls with a deadline, served under a bound, drained in order, with
//! health and metrics; and the house's registry of subjects.
//!
//! A service is a name, and methods by name, each a protobuf request and answer:
//!
//! ```no_run
//! use std::time::Duration;
//! use tidings_protocol::ErrorCode;
//! use tidings_protocol::proto::services::v1::{AccountInfo, AccountRequest};
//! use tidings_service::{CallContext, CallError, Caller, Server};
//!
//! # async fn example(bus: tidings_bus::Bus) -> Result<(), Box<dyn std::error::Error>> {
//! let handle = Server::new(bus.clone(), "account")
//!     .method("info", |_call: CallContext, request: AccountRequest| async move {
//!         if request.account.is_empty() {
//!             return Err(CallError::new(ErrorCode::InvalidArgument, "Which account?"));
//!         }
//!         Ok(AccountInfo { id: request.account, ..AccountInfo::default() })
//!     })
//!     .concurrency(64)
//!     .start()
//!     .await?;
//!
//! let caller = Caller::new(bus);
//! let request = AccountRequest { account: "a".into() };
//! let info: AccountInfo = caller.call("account", "info", &request, Duration::from_secs(1)).await?;
//! assert_eq!(info.id, "a");
//! handle.drain(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

pub mod caller;
pub mod dead_letters;
pub mod error;
pub mod health;
pub mod lease;
pub mod listing;
pub mod rights;
pub mod server;
pub mod subjects;
mod wire;

pub use caller::{Caller, zone_answer};
pub use error::CallError;
pub use health::{Dependency, DependencyState, Health};
pub use lease::Lease;
pub use server::{CallContext, Drained, Server, ServerHandle};
pub use subjects::{Subjects, declare, declare_on_nats};
