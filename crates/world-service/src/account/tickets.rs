//! Tickets: what a page opens its socket with. Good once, for a moment, and only with the CSRF token of the sign-in.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use tidings_bus::{ErrorKind, Kv};
use tidings_protocol::proto::services::v1::{Identity, IssueTicketRequest, PresentedTicket, Ticket};
use tidings_service::CallError;

use super::tokens::{TOKEN_BYTES_MAX, csrf_hash, hex, sha256, text_of};
use super::{AccountService, millis, seconds, unauthenticated};
use crate::clock::random;

/// Where a ticket is kept: its hash, so that the bucket holds nothing that lets anybody in.
fn key(ticket: &str) -> String {
    hex(&sha256(&[b"tidings ticket\0", ticket.as_bytes()]))
}

impl AccountService {
    /// A ticket for who was verified just now.
    pub async fn issue_ticket(self, request: IssueTicketRequest) -> Result<Ticket, CallError> {
        let identity = request.identity.ok_or_else(|| unauthenticated("Please sign in."))?;
        let identity = self.standing(identity).await?;
        let ticket = text_of(&random()?);
        let life = self.config().ticket_life;
        let mut value = BytesMut::new();
        value.put_i64(self.now() + millis(life));
        identity.encode(&mut value).map_err(|_| CallError::internal("A ticket cannot be made."))?;
        self.inner.tickets.create(&key(ticket.expose()), value.freeze(), Some(life)).await?;
        Ok(Ticket { ticket: ticket.expose().clone(), expires_in: seconds(life) })
    }
}

/// Who a ticket was made for, when it was: whether the sign-in stands is for who lets them in. The ticket is gone with
/// the first try, whatever comes of it.
pub(crate) async fn redeem(
    tickets: &Kv,
    presented: &PresentedTicket,
    now_ms: i64,
) -> Result<Identity, CallError> {
    let refused = || unauthenticated("The ticket is not valid. Please ask for another.");
    if presented.ticket.len() > TOKEN_BYTES_MAX || presented.csrf_token.len() > TOKEN_BYTES_MAX {
        return Err(refused());
    }
    let key = key(&presented.ticket);
    let entry = tickets.get(&key).await?.ok_or_else(refused)?;
    match tickets.delete_revision(&key, entry.revision).await {
        Ok(()) => {}
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::WrongRevision => return Err(refused()),
        Err(error) => return Err(error.into()),
    }
    let (expires_ms, identity) = read(&entry.value).ok_or_else(refused)?;
    if now_ms >= expires_ms || identity.csrf != csrf_hash(&presented.csrf_token) {
        return Err(refused());
    }
    Ok(identity)
}

fn read(value: &Bytes) -> Option<(i64, Identity)> {
    let (time, identity) = value.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*time), Identity::decode(identity).ok()?))
}
