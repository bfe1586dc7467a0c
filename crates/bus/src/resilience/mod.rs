//! What keeps a call useful while something is wrong: each part a small module that is used and tested alone.
//!
//! # The order
//!
//! Every call of the NATS backend that waits for an answer goes through [`Guard`], in one order:
//!
//! ```text
//! deadline -> breaker -> retry -> call
//! ```
//!
//! 1. **Deadline**: the call's own, pauses included; nothing below it waits longer.
//! 2. **Breaker** ([`breaker`], [`breakers`]): one for each destination, a subject that is asked or a stream. An open one
//!    refuses at once, before anything is sent, and says when to try again. A repeat passes it too: a call whose
//!    circuit opens meanwhile ends with the error that it met itself.
//! 3. **Retry** ([`retry`], [`budget`]): decides after a failed try. It is the only layer that repeats.
//! 4. **Call**: one question, with what is left of the deadline.
//!
//! A publish has no answer and so no outcome of a destination: it is refused while there is no connection
//! (`Connection`, or `CircuitOpen` once attempts to connect keep failing), and is never repeated.
//!
//! Beside it, [`state`] says what the connection is and [`observe`] tells everyone who asks; [`health`] judges it by round
//! trips, and a connection that does not answer is made anew.
//!
//! # What is pure
//!
//! Rules take the time and a random number and return what to do: [`retry::Retry`], [`budget::Budget`],
//! [`breaker::Breaker`], [`state::State`], [`health::Health`]. Only [`Guard`] and [`observe::States`] read a clock.

pub mod breaker;
pub mod breakers;
pub mod budget;
pub mod guard;
pub mod health;
pub mod observe;
pub mod retry;
pub mod state;

pub use self::breaker::BreakerConfig;
pub use self::breakers::{BreakerView, Breakers};
pub use self::guard::{Call, Guard, Target};
pub use self::health::{HealthConfig, HealthReport};
pub use self::observe::{States, Watching};
pub use self::retry::{Repeats, RetryConfig};
pub use self::state::{Move, State, Transition};
