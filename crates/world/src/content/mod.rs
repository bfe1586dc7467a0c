//! What builders write: places, characters that live there, words, emotes, help; read from text files.

pub mod model;

pub use model::Content;
