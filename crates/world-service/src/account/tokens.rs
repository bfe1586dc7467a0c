//! Tokens: access tokens that verify by themselves, refresh tokens that are exchanged, CSRF tokens, tickets.
//!
//! A refresh token's successor is made of the token and a salt kept beside its hash. So storage holds nothing that
//! signs in, and yet the same successor can be given twice to who holds the token. The CSRF token is made of the
//! refresh token, which the page cannot read: whoever has the one cannot make the other.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidings_protocol::proto::services::v1::Identity;
use tidings_protocol::{AccountId, ErrorCode};
use tidings_service::CallError;
use tidings_storage::{Secret, Store};

use crate::clock::random;
use crate::failure::stored;

/// Longest token that is looked at, in bytes: several times what is given out.
pub const TOKEN_BYTES_MAX: usize = 2_048;
/// The secret's name in storage.
const KEY_NAME: &str = "access-token-key";
const ISSUER: &str = "tidings";

/// A 32-byte value in text, for URLs and headers.
pub(crate) fn text_of(bytes: &[u8; 32]) -> Secret<String> {
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A refresh token in the hands of its owner.
#[derive(Clone, Debug)]
pub(crate) struct RefreshToken(Secret<String>);

impl RefreshToken {
    /// A new one, which descends from none.
    pub(crate) fn fresh() -> Result<Self, CallError> {
        Ok(Self(text_of(&random()?)))
    }

    /// One that was presented; any text.
    pub(crate) fn presented(text: &str) -> Self {
        Self(Secret::new(text.to_owned()))
    }

    /// The one that follows it, with this salt.
    pub(crate) fn successor(&self, salt: &Secret<[u8; 32]>) -> Self {
        Self(text_of(&sha256(&[b"tidings refresh successor\0", salt.expose(), self.0.expose().as_bytes()])))
    }

    /// What storage keeps of it.
    pub(crate) fn hash(&self) -> Secret<[u8; 32]> {
        Secret::new(sha256(&[b"tidings refresh\0", self.0.expose().as_bytes()]))
    }

    /// The CSRF token that goes with it.
    pub(crate) fn csrf(&self) -> Secret<String> {
        text_of(&sha256(&[b"tidings csrf\0", self.0.expose().as_bytes()]))
    }

    /// The token, for the answer that gives it out.
    pub(crate) fn into_text(self) -> String {
        self.0.expose().clone()
    }
}

/// What identities carry of a CSRF token: SHA-256, hexadecimal.
pub(crate) fn csrf_hash(token: &str) -> String {
    hex(&sha256(&[token.as_bytes()]))
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    sub: AccountId,
    name: String,
    guest: bool,
    fam: String,
    csrf: String,
    iat: i64,
    exp: i64,
}

impl Claims {
    pub(crate) fn account(&self) -> AccountId {
        self.sub
    }

    pub(crate) fn family(&self) -> &str {
        &self.fam
    }

    /// Who it names, with the role that is read elsewhere: a role in a token would outlive a demotion.
    pub(crate) fn identity(self, role: &str) -> Identity {
        Identity {
            account: self.sub.to_string(),
            username: self.name,
            role: role.to_owned(),
            guest: self.guest,
            family: self.fam,
            csrf: self.csrf,
        }
    }
}

/// Signs and reads access tokens.
pub(crate) struct AccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl AccessTokens {
    /// With the key in storage, which the first run makes.
    pub(crate) async fn open(store: &Store) -> Result<Self, CallError> {
        let fresh = Secret::new(random::<32>()?.to_vec());
        let key = store.secret(KEY_NAME, &fresh).await.map_err(stored)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // Time is read from the clock that is handed in, below.
        validation.validate_exp = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Ok(Self {
            encoding: EncodingKey::from_secret(key.expose()),
            decoding: DecodingKey::from_secret(key.expose()),
            validation,
        })
    }

    /// A token for `identity`, good from `now_ms` for `life_ms`.
    pub(crate) fn sign(&self, identity: &Identity, now_ms: i64, life_ms: i64) -> Result<String, CallError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: crate::failure::id(&identity.account, "an account")?,
            name: identity.username.clone(),
            guest: identity.guest,
            fam: identity.family.clone(),
            csrf: identity.csrf.clone(),
            iat: now_ms / 1000,
            exp: (now_ms + life_ms) / 1000,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|_| CallError::internal("A token could not be signed."))
    }

    /// What a token says that this key signed and that is not over.
    pub(crate) fn read(&self, token: &str, now_ms: i64) -> Result<Claims, CallError> {
        let refused = || CallError::new(ErrorCode::Unauthenticated, "The access token is not valid.");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused());
        }
        let claims: Claims = decode(token, &self.decoding, &self.validation).map_err(|_| refused())?.claims;
        if claims.exp.saturating_mul(1000) <= now_ms {
            return Err(CallError::new(ErrorCode::Unauthenticated, "The access token is over."));
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            account: AccountId::new(1, 2).to_string(),
            username: "ann".into(),
            role: "player".into(),
            guest: false,
            family: "f".repeat(32),
            csrf: csrf_hash("c"),
        }
    }

    #[tokio::test]
    async fn a_token_is_read_back_until_it_is_over() {
        let store = Store::memory().await.expect("a store");
        let tokens = AccessTokens::open(&store).await.expect("a key");
        let token = tokens.sign(&identity(), 1_000_000, 900_000).expect("a token");
        let again = AccessTokens::open(&store).await.expect("the same key");
        assert_eq!(again.read(&token, 1_899_999).expect("good").identity("player"), identity());
        for now in [1_900_000, i64::MAX] {
            assert_eq!(again.read(&token, now).expect_err("over").code, ErrorCode::Unauthenticated);
        }
    }

    #[tokio::test]
    async fn a_token_that_was_not_signed_here_is_refused() {
        let tokens = AccessTokens::open(&Store::memory().await.expect("a store")).await.expect("a key");
        let other = AccessTokens::open(&Store::memory().await.expect("a store")).await.expect("a key");
        let foreign = other.sign(&identity(), 0, 900_000).expect("a token");
        let own = tokens.sign(&identity(), 0, 900_000).expect("a token");
        let [head, body, signature] = own.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let forged = BASE64_URL_SAFE_NO_PAD.encode(
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(body).expect("base64"))
                .expect("text")
                .replace("ann", "eve"),
        );
        for bad in [
            foreign.clone(),
            String::new(),
            "x".repeat(9_999),
            format!("{none}.{body}."),
            format!("{none}.{body}.{signature}"),
            format!("{head}.{forged}.{signature}"),
            format!("{head}.{body}"),
        ] {
            let error = tokens.read(&bad, 0).expect_err("refused");
            assert_eq!(error.code, ErrorCode::Unauthenticated);
            assert!(bad.is_empty() || !format!("{error} {error:?}").contains(&bad));
        }
    }

    #[test]
    fn a_successor_follows_from_the_token_and_the_salt_alone() {
        let token = RefreshToken::presented("t");
        let salt = Secret::new([1; 32]);
        assert_eq!(
            token.successor(&salt).into_text(),
            RefreshToken::presented("t").successor(&salt).into_text()
        );
        let others = [
            token.successor(&Secret::new([2; 32])).into_text(),
            RefreshToken::presented("u").successor(&salt).into_text(),
            token.csrf().expose().clone(),
            hex(token.hash().expose()),
        ];
        assert!(!others.contains(&token.successor(&salt).into_text()));
        assert_eq!(format!("{token:?}"), "RefreshToken([hidden])");
    }
}
