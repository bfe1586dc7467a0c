//! The protobuf messages on the bus, made from `proto/` when the crate is built.

#![allow(missing_docs, clippy::all)] // generated; the documentation is in proto/

/// Events in the logs, and commands to the owners of zones.
pub mod world {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidings.world.v1.rs"));
    }
}

/// The services.
pub mod services {
    /// Version 1.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidings.services.v1.rs"));
    }
}
