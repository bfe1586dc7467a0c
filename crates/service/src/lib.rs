//! A harness for services on the bus, and the house's registry of subjects.

pub mod subjects;

pub use subjects::Subjects;
