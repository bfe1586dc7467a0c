//! Load over real sockets: connections that cost little on this side, joined to rooms, and what is done with them.

pub mod frames;
pub mod room;
pub mod run;
pub mod target;
pub mod world;

pub use run::{OpenLoop, Saturation};
pub use target::{Kind, Target};
