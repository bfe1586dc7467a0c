//! placeholder

pub mod demo_world;
