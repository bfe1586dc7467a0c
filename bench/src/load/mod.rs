//! Load over real sockets: connections that cost little on this side, joined to rooms, and what is done with them.

pub mod crowd;
pub mod frames;
pub mod member;
pub mod peers;
pub mod room;
pub mod target;
pub mod world;

pub use crowd::{Crowd, OpenLoop, Saturation};
pub use target::{Kind, Target};
