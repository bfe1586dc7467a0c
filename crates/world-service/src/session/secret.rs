//! Resume secrets: `<character id>.<random>`. Only the SHA-256 is kept.
//!
//! A secret is replaced at each resume. The one before stays valid until the new one was used, since the answer that
//! carried the new one may have been lost; then a use of it is refused.

use bytes::Bytes;
use tidings_protocol::CharacterId;
use tidings_protocol::proto::services::v1::SessionRecord;
use tidings_service::CallError;
use tidings_storage::Secret;

use crate::account::tokens::{sha256, text_of};
use crate::clock::random;

/// Longest secret that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 256;

/// A new secret for a character, and what is kept of it.
pub(super) fn fresh(character: &str) -> Result<(Secret<String>, Bytes), CallError> {
    let random = text_of(&random()?);
    let secret = format!("{character}.{}", random.expose());
    let hash = hash(&secret);
    Ok((Secret::new(secret), hash))
}

/// The character of a secret that has the form of one.
pub(super) fn character(secret: &str) -> Option<CharacterId> {
    let (character, random) = secret.split_once('.')?;
    let fits = secret.len() <= SECRET_BYTES_MAX && !random.is_empty();
    character.parse().ok().filter(|_| fits)
}

/// What is kept of a secret. Comparing hashes tells nobody how near a guess was.
pub(super) fn hash(secret: &str) -> Bytes {
    sha256(&[b"tidings resume\0", secret.as_bytes()]).to_vec().into()
}

/// Whether a secret of this hash opens the session, either as the newest or as the one before.
pub(super) fn opens(record: &SessionRecord, hash: &[u8]) -> bool {
    !hash.is_empty() && (record.resume_hash == hash || record.previous_resume_hash == hash)
}
