//! An account's characters.

use tidings_protocol::proto::services::v1::{
    AccountRequest, CharacterList, CharacterName as Named, CreateCharacterRequest, DeleteCharacterRequest,
    Empty,
};
use tidings_protocol::{AccountId, CharacterId, ErrorCode};
use tidings_service::CallError;
use tidings_storage::{CharacterName, NewCharacter};

use super::{AccountService, DONE};
use crate::clock::{id_time, random_bits};
use crate::failure::{id, stored};
use crate::session;

impl AccountService {
    /// An account's characters, the oldest first.
    pub async fn characters(self, request: AccountRequest) -> Result<CharacterList, CallError> {
        let account: AccountId = id(&request.account, "an account")?;
        let found = self.store().characters(account).await.map_err(stored)?;
        let named = |one: tidings_storage::Character| Named { id: one.id.to_string(), name: one.name };
        Ok(CharacterList { characters: found.into_iter().map(named).collect() })
    }

    /// Makes a character. A guest keeps the one it was given.
    pub async fn create_character(self, request: CreateCharacterRequest) -> Result<Named, CallError> {
        let account: AccountId = id(&request.account, "an account")?;
        let name = CharacterName::new(&request.name).map_err(|error| {
            CallError::new(ErrorCode::InvalidArgument, format!("That cannot be a character's name: {error}."))
        })?;
        let owner = self.store().account(account).await.map_err(stored)?;
        let Some(owner) = owner else {
            return Err(CallError::new(ErrorCode::NotFound, "There is no such account."));
        };
        if owner.guest {
            let what = "A guest has one character. Please register to make your own.";
            return Err(CallError::new(ErrorCode::PermissionDenied, what));
        }
        let created_ms = self.now();
        let character = NewCharacter {
            id: CharacterId::new(id_time(created_ms), random_bits()?),
            account,
            name,
            created_ms,
        };
        self.store().create_character(&character, self.config().characters_max).await.map_err(stored)?;
        Ok(Named { id: character.id.to_string(), name: character.name.shown().to_owned() })
    }

    /// Deletes a character that is not in the world.
    pub async fn delete_character(self, request: DeleteCharacterRequest) -> Result<Empty, CallError> {
        let account: AccountId = id(&request.account, "an account")?;
        let character: CharacterId = id(&request.character, "a character")?;
        let found = self.store().character(character).await.map_err(stored)?;
        if found.is_none_or(|found| found.account != account) {
            return Err(CallError::new(ErrorCode::NotFound, "You have no such character."));
        }
        if session::is_in_world(&self.inner.sessions, character).await? {
            let what = "This character is in the world. Please leave it first.";
            return Err(CallError::new(ErrorCode::FailedPrecondition, what));
        }
        self.store().delete_character(account, character).await.map_err(stored)?;
        Ok(DONE)
    }
}
