//! Registration, sign-in, and what follows from it: exchange, verification, sign-out.

use tidings_protocol::proto::services::v1::{
    AccountInfo, Empty, Identity, RefreshRequest, RegisterRequest, RevokeReply, RevokeRequest, SignInRequest,
    SignOutRequest, Tokens, VerifyRequest,
};
use tidings_protocol::{AccountId, CloseCode, ErrorCode};
use tidings_service::CallError;
use tidings_storage::names::name_key;
use tidings_storage::{Account, Credentials, NewAccount, NewFamily, Role, Rotate, Rotated, Secret, Username};

use super::standing::refuse_banned;
use super::tokens::{RefreshToken, TOKEN_BYTES_MAX, csrf_hash, hex};
use super::{AccountService, CALL_DEADLINE, DONE, millis, seconds, unauthenticated};
use crate::clock::{id_time, random, random_bits};
use crate::failure::{id, stored};

pub(crate) fn info(account: &Account, now_ms: i64) -> AccountInfo {
    AccountInfo {
        id: account.id.to_string(),
        username: account.username.clone(),
        role: account.role.to_string(),
        banned: account.banned(now_ms).is_some(),
        created_ms: account.created_ms,
        guest: account.guest,
    }
}

impl AccountService {
    /// Makes an account with a password.
    pub async fn register(self, request: RegisterRequest) -> Result<AccountInfo, CallError> {
        if !self.config().registration {
            return Err(CallError::new(ErrorCode::PermissionDenied, "Registration is closed here."));
        }
        let invalid = |why: &dyn std::fmt::Display| {
            CallError::new(ErrorCode::InvalidArgument, format!("That cannot be a username: {why}."))
        };
        let username = Username::new(&request.username).map_err(|error| invalid(&error))?;
        if username.is_reserved() {
            return Err(invalid(&"this name is reserved"));
        }
        super::passwords::check_form(&request.password)?;
        // Before the cost of hashing; the store has the last word.
        if self.store().credentials(username.key()).await.map_err(stored)?.is_some() {
            return Err(CallError::new(ErrorCode::Conflict, "That username is taken."));
        }
        let password = self.inner.passwords.hash(&request.password).await?;
        let account = self.make_account(username, Some(password), Role::Player).await?;
        Ok(info(&account, self.now()))
    }

    pub(super) async fn make_account(
        &self,
        username: Username,
        password: Option<Secret<String>>,
        role: Role,
    ) -> Result<Account, CallError> {
        let created_ms = self.now();
        let account = NewAccount {
            id: AccountId::new(id_time(created_ms), random_bits()?),
            username,
            password,
            role,
            guest: false,
            created_ms,
        };
        self.store().create_account(&account).await.map_err(stored)?;
        let made = self.store().account(account.id).await.map_err(stored)?;
        made.ok_or_else(|| CallError::new(ErrorCode::Aborted, "The account was removed in between."))
    }

    /// Signs in with a password. An unknown name takes as long as a wrong password, and is answered alike.
    pub async fn sign_in(self, request: SignInRequest) -> Result<Tokens, CallError> {
        let key = name_key(&request.username);
        self.inner.attempts.take(&key, self.now()).map_err(|wait| {
            metrics::counter!("tidings_account_sign_ins_total", "outcome" => "rate_limited").increment(1);
            CallError::new(ErrorCode::RateLimited, "Too many attempts to sign in to this account.")
                .after(wait)
        })?;
        let found = self.store().credentials(&key).await.map_err(stored)?;
        let hash = found.as_ref().and_then(|found| found.password.as_ref());
        let right = self.inner.passwords.verify(&request.password, hash).await?;
        let Some(found) = found.filter(|_| right) else {
            metrics::counter!("tidings_account_sign_ins_total", "outcome" => "refused").increment(1);
            return Err(unauthenticated("The username or the password is wrong."));
        };
        refuse_banned(&found.account, self.now())?;
        self.inner.attempts.forget(&key);
        metrics::counter!("tidings_account_sign_ins_total", "outcome" => "done").increment(1);
        let (family, token) = self.new_family(found.account.id)?;
        self.store().create_family(&family).await.map_err(stored)?;
        self.still_the_password(&key, &found, &family.id).await?;
        self.tokens(&found.account, &family.id, token)
    }

    /// A password that was changed while the old one was checked revoked what was there: this sign-in came after.
    async fn still_the_password(
        &self,
        key: &str,
        checked: &Credentials,
        family: &str,
    ) -> Result<(), CallError> {
        let now = self.store().credentials(key).await.map_err(stored)?.and_then(|found| found.password);
        if now.as_ref().map(Secret::expose) == checked.password.as_ref().map(Secret::expose) {
            return Ok(());
        }
        self.store().revoke_family(family, self.now()).await.map_err(stored)?;
        Err(unauthenticated("The username or the password is wrong."))
    }

    /// A family that is not stored yet, and its first token.
    pub(super) fn new_family(&self, account: AccountId) -> Result<(NewFamily, RefreshToken), CallError> {
        let token = RefreshToken::fresh()?;
        let now = self.now();
        let family = NewFamily {
            id: hex(&random::<16>()?),
            account,
            token_hash: token.hash(),
            created_ms: now,
            expires_ms: now + millis(self.config().refresh_life),
        };
        Ok((family, token))
    }

    pub(super) fn tokens(
        &self,
        account: &Account,
        family: &str,
        refresh: RefreshToken,
    ) -> Result<Tokens, CallError> {
        let csrf = refresh.csrf();
        let identity = identity(account, family, csrf.expose());
        let life = self.config().access_life;
        Ok(Tokens {
            access_token: self.inner.tokens.sign(&identity, self.now(), millis(life))?,
            expires_in: seconds(life),
            csrf_token: csrf.expose().clone(),
            refresh_token: refresh.into_text(),
            refresh_expires_in: seconds(self.config().refresh_life),
        })
    }

    /// Exchanges a refresh token. The one before gives the same successor for a moment; later use of it ends the
    /// sign-in: one of the two who hold it is a thief.
    pub async fn refresh(self, request: RefreshRequest) -> Result<Tokens, CallError> {
        let ended = || unauthenticated("This sign-in has ended. Please sign in again.");
        if request.refresh_token.len() > TOKEN_BYTES_MAX {
            return Err(ended());
        }
        let presented = RefreshToken::presented(&request.refresh_token);
        let now = self.now();
        let salt = Secret::new(random()?);
        let rotate = Rotate {
            presented: presented.hash(),
            successor: presented.successor(&salt).hash(),
            salt: salt.clone(),
            now_ms: now,
            grace_ms: millis(self.config().refresh_grace),
            expires_ms: now + millis(self.config().refresh_life),
        };
        let (family, salt) = match self.store().rotate(&rotate).await.map_err(stored)? {
            Rotated::Done(family) => (family, salt),
            Rotated::Again(family, salt) => (family, salt),
            Rotated::Reused(family) => {
                tracing::warn!(account = %family.account, "a refresh token was used twice: its sign-in is ended");
                metrics::counter!("tidings_account_refresh_reused_total").increment(1);
                self.inner.standing.forget_family(&family.id);
                self.revoke(RevokeRequest { family: family.id, ..revoked() }).await?;
                return Err(ended());
            }
            Rotated::Refused => return Err(ended()),
        };
        let account = self.store().account(family.account).await.map_err(stored)?.ok_or_else(ended)?;
        refuse_banned(&account, now)?;
        self.tokens(&account, &family.id, presented.successor(&salt))
    }

    /// Ends a sign-in, with its sessions.
    pub async fn sign_out(self, request: SignOutRequest) -> Result<Empty, CallError> {
        let account: AccountId = id(&request.account, "an account")?;
        let family = self.store().family(&request.family).await.map_err(stored)?;
        if family.is_some_and(|family| family.account == account) {
            self.store().revoke_family(&request.family, self.now()).await.map_err(stored)?;
            self.inner.standing.forget_family(&request.family);
            self.revoke(RevokeRequest { family: request.family, ..revoked() }).await?;
        }
        Ok(DONE)
    }

    /// Who an access token names, as far as its sign-in stands.
    pub async fn verify(self, request: VerifyRequest) -> Result<Identity, CallError> {
        let claims = self.inner.tokens.read(&request.access_token, self.now())?;
        let standing = &self.inner.standing;
        let role = standing.role(self.store(), claims.account(), claims.family(), self.now()).await?;
        Ok(claims.identity(role.as_str()))
    }

    /// Who a refresh token belongs to, without exchanging it.
    pub async fn verify_refresh(self, request: RefreshRequest) -> Result<Identity, CallError> {
        let ended = || unauthenticated("This sign-in has ended. Please sign in again.");
        if request.refresh_token.len() > TOKEN_BYTES_MAX {
            return Err(ended());
        }
        let token = RefreshToken::presented(&request.refresh_token);
        let grace = millis(self.config().refresh_grace);
        let family = self.store().token_family(&token.hash(), self.now(), grace).await.map_err(stored)?;
        let family = family.ok_or_else(ended)?;
        let account = self.store().account(family.account).await.map_err(stored)?.ok_or_else(ended)?;
        refuse_banned(&account, self.now())?;
        Ok(identity(&account, &family.id, token.csrf().expose()))
    }

    /// Ends sessions through the service `session`.
    pub(super) async fn revoke(&self, request: RevokeRequest) -> Result<RevokeReply, CallError> {
        self.inner.caller.call("session", "revoke", &request, CALL_DEADLINE).await
    }
}

/// A revocation of nothing yet, with the code of a session that was ended.
pub(super) fn revoked() -> RevokeRequest {
    RevokeRequest { code: u32::from(CloseCode::Revoked.code()), ..RevokeRequest::default() }
}

fn identity(account: &Account, family: &str, csrf_token: &str) -> Identity {
    Identity {
        account: account.id.to_string(),
        username: account.username.clone(),
        role: account.role.to_string(),
        guest: account.guest,
        family: family.to_owned(),
        csrf: csrf_hash(csrf_token),
    }
}
