//! What outlives the process: accounts, sign-ins, characters, mutes, sanctions, the audit log, chat history and
//! checkpoints of zones, behind one interface with a backend a database. Knows nothing of the bus.
//!
//! Start reading at [`Store`] and [`backend`]. Times are Unix milliseconds that the caller hands in; every query
//! that could be long is answered in pages.

pub mod backend;
pub mod error;
pub mod names;
pub mod secret;
mod sqlite;
mod store;
pub mod types;

pub use backend::{
    Accounts, Answer, Backend, Characters, Chat, ENDED_MUTES_MAX, Families, Moderation, PAGE_MAX, System,
    Zones,
};
pub use error::{Error, ErrorKind};
pub use names::{CharacterName, NameError, Username};
pub use secret::Secret;
pub use store::Store;
pub use types::*;

/// What the storage answers.
pub type Result<T> = std::result::Result<T, Error>;
