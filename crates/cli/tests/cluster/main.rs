//! One world in three processes on a real NATS server: what players see is what they see of one process.

mod harness;
mod talk;
