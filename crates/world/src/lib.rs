//! The rules of a world, pure: `step(zone, input, now, rng) -> outputs`. No I/O, no clocks, no global randomness,
//! no wire formats. Start reading at [`step`] and [`input`].
//!
//! State changes only through effects: [`step`] decides, applies each [`Effect`] and puts it out;
//! a new owner of the zone replays the logged effects and arrives at the same state. What a zone merely knows
//! (who is online elsewhere, the answers it waits for) is no state: it is told again.
//!
//! A commit that failed is undone by rebuilding: [`Zone::restore`] from the last checkpoint, [`Zone::replay`] of
//! what was logged since, [`Zone::carry`] for what the zone merely knows, [`Zone::wake`]. It is the way of a
//! takeover, exercised by each restart, and costs nothing while commits succeed.

mod calendar;
pub mod commands;
pub mod content;
mod effect;
pub mod input;
mod known;
pub mod limits;
mod movement;
mod names;
mod npc;
mod outcomes;
pub mod output;
mod party;
mod people;
mod post;
mod presence;
mod remote;
mod speech;
mod state;
mod text;
mod turn;
mod view;
pub mod zone;

pub use content::Content;
pub use effect::Effect;
pub use input::Input;
pub use limits::Limits;
pub use output::Output;
pub use zone::{Config, Zone, step};
