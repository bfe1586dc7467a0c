//! Messaging for Rust backends: subjects from one registry, ephemeral publish and request, durable logs with
//! fenced atomic commits and gap-free follow, key/value, work queues; over a backend in the process or NATS.
//!
//! Start reading at [`Bus`]; `README.md` has what holds, and every metric. The bus knows nothing of worlds,
//! people's sockets or HTTP.

pub mod backend;
pub mod batch;
pub mod bus;
mod checks;
mod clock;
mod config;
mod counts;
mod dead_letter;
pub mod dead_letters;
mod drain;
pub mod embedded;
mod envelope;
pub mod error;
pub mod handler;
pub mod kv;
pub mod log;
pub mod message;
pub mod nats;
mod queue;
pub mod registry;
pub mod resilience;
mod router;
mod settings;
pub mod subject;
mod token;
mod under_way;
pub mod work;
mod work_counts;

pub use batch::{BatchConfig, BatchReport, Batcher, FailedView, StoredGroup};
pub use bus::{Bus, COMMIT_MESSAGES_MAX};
pub use config::BusConfig;
pub use dead_letter::{DeadLetter, REPLAY_ID, REPLAY_OF};
pub use dead_letters::{DeadLetterQueues, DeadLetters, Letter, LetterFilter};
pub use drain::DrainReport;
pub use embedded::{Damage, Embedded, EmbeddedConfig, RecoveryReport};
pub use error::{Error, ErrorKind};
pub use handler::{Delivery, Failure, Handled, HandlerConfig};
pub use kv::{Kv, KvEntry, KvEvent, KvWatch};
pub use log::{Append, Committed, Fence, FollowSet, Followed, From, LogMessage};
pub use message::{Asked, Asker, Headers, IDEMPOTENCY_KEY, Message, Subscription};
pub use nats::{
    CLIENT_QUEUE_MIN, Login, MemberView, Nats, NatsConfig, POOL_MAX, Part, Rights, Secret, Security,
};
pub use registry::{Check, Class, Registry, SlowReader, TemplateDef};
pub use settings::{BucketConfig, Keep, Retention};
pub use subject::{Pattern, SUBJECT_BYTES_MAX, Subject};
pub use token::{escape_token, unescape_token};
pub use work::{Job, Work, WorkConfig};

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The guide's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/bus.md")]
struct Guide;
