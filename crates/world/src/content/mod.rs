//! What builders write: places, characters that live there, words, emotes, help; read from text files.
//!
//! Start reading at [`Content::check`] in `load.rs`: each file is read field by field (`world_file`, `zone_file`,
//! `npc_table`, `word_files`), then `checks` looks at the whole. Pure: who calls reads the files. The format is told in
//! `docs/worlds.md`, whose examples the tests load.

mod builder;
mod checks;
mod fields;
mod layout;
pub mod limits;
mod load;
mod mistake;
pub mod model;
mod npc_table;
mod text;
mod word_files;
mod world_file;
mod zone_file;

pub use load::Checked;
pub use mistake::{Mistake, Severity};
pub use model::Content;
