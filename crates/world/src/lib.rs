//! The rules of a world, pure: `step(zone, input, now, rng) -> outputs`. No I/O, no clocks, no global randomness,
//! no wire formats. Start reading at [`step`](zone::step) and [`input`].
//!
//! State changes only through effects: `step` decides, gathers [`effect`](output::Decision::effects) and applies
//! them; a new owner of the zone replays the logged effects and arrives at the same state.

pub mod content;
pub mod input;
pub mod output;

pub use content::Content;
pub use input::Input;
pub use output::Output;
