//! Tidings from Rust: sign in over HTTP, then enter the world and come back to it over the WebSocket protocol.
//!
//! ```no_run
//! # async fn example() -> Result<(), tidings_client::Error> {
//! use tidings_client::{Api, Connection};
//! let api = Api::new("127.0.0.1:4000".parse().expect("an address"));
//! let session = api.guest().await?;
//! let mut connection = Connection::enter(&api, &session, None).await?;
//! let reply = connection.command("say hello").await?;
//! assert_eq!(reply.text, "You say: hello");
//! # Ok(()) }
//! ```

mod api;
mod connection;
mod error;

pub use api::{Api, SignedIn};
pub use connection::{Connection, RESUME_WINDOW_EVENTS};
pub use error::Error;
pub use hyper::Method;
pub use tidings_protocol::frames;
