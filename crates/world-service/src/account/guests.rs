//! Guests: in the world with one click. No password and so no hashing: account, character and sign-in are made in
//! one transaction, and removed a while after the last session.

use tidings_protocol::proto::services::v1::{GuestRequest, Tokens};
use tidings_protocol::{AccountId, CharacterId, ErrorCode};
use tidings_service::CallError;
use tidings_storage::{Account, CharacterName, ErrorKind, NewAccount, NewCharacter, Role, Username};

use super::AccountService;
use crate::clock::{id_time, random_bits};
use crate::failure::stored;

/// Tries to find a free number; each widens the range, so the last is all but sure.
const TRIES: u32 = 8;

impl AccountService {
    /// Lets a guest in.
    pub async fn guest(self, _request: GuestRequest) -> Result<Tokens, CallError> {
        if !self.config().guests {
            return Err(CallError::new(ErrorCode::PermissionDenied, "Guests are not let in here."));
        }
        for attempt in 0..TRIES {
            if let Some(tokens) = self.try_guest(attempt).await? {
                metrics::counter!("tidings_account_guests_total").increment(1);
                return Ok(tokens);
            }
        }
        Err(CallError::new(ErrorCode::ResourceExhausted, "There is no room for another guest at the moment."))
    }

    /// `None`: the number is taken.
    async fn try_guest(&self, attempt: u32) -> Result<Option<Tokens>, CallError> {
        let now = self.now();
        let low = 10_u32.pow(3 + attempt.min(5));
        let chance = u32::try_from(random_bits()? % u128::from(low * 9)).unwrap_or(0);
        let number = low + chance;
        let account = NewAccount {
            id: AccountId::new(id_time(now), random_bits()?),
            username: Username::new(&format!("guest-{number}"))
                .map_err(|_| CallError::internal("A guest cannot be named."))?,
            password: None,
            role: Role::Player,
            guest: true,
            created_ms: now,
        };
        let character = NewCharacter {
            id: CharacterId::new(id_time(now), random_bits()?),
            account: account.id,
            name: CharacterName::guest(number),
            created_ms: now,
        };
        let (family, token) = self.new_family(account.id)?;
        match self.store().create_guest(&account, &character, &family).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Conflict => return Ok(None),
            Err(error) => return Err(stored(error)),
        }
        let account = Account {
            id: account.id,
            username: account.username.shown().to_owned(),
            role: account.role,
            guest: true,
            created_ms: now,
            ban: None,
            silenced_until_ms: None,
        };
        self.tokens(&account, &family.id, token).map(Some)
    }
}
