//! The service as its callers meet it: over the bus, in memory, with a clock that moves when it is told to.

use std::collections::HashSet;
use std::time::Duration;

use tidings_protocol::proto::services::v1::{
    AccountInfo, AccountRequest, CharacterList, CharacterName, CreateCharacterRequest,
    DeleteCharacterRequest, Empty, GuestRequest, Identity, IssueTicketRequest, OpenSession,
    OpenSessionRequest, PresentedTicket, RefreshRequest, RegisterRequest, ResumeSessionRequest,
    SignInRequest, SignOutRequest, Ticket, Tokens, VerifyRequest,
};
use tidings_protocol::{AccountId, ErrorCode};
use tidings_service::CallError;
use tidings_storage::{Ban, Role};

use super::admin::Admin;
use crate::testing::{Running, cheap, until};

const MINUTE: i64 = 60_000;

async fn register(at: &Running, name: &str) -> Result<AccountInfo, CallError> {
    let request =
        RegisterRequest { username: name.into(), password: "correct horse".into(), address: "::1".into() };
    at.call("account", "register", &request).await
}

async fn sign_in(at: &Running, name: &str, password: &str) -> Result<Tokens, CallError> {
    let request = SignInRequest { username: name.into(), password: password.into(), address: "::1".into() };
    at.call("account", "sign-in", &request).await
}

async fn signed_in(at: &Running, name: &str) -> Tokens {
    register(at, name).await.expect("an account");
    sign_in(at, name, "correct horse").await.expect("signed in")
}

async fn verify(at: &Running, tokens: &Tokens) -> Result<Identity, CallError> {
    at.call("account", "verify", &VerifyRequest { access_token: tokens.access_token.clone() }).await
}

async fn refresh(at: &Running, token: &str) -> Result<Tokens, CallError> {
    at.call("account", "refresh", &RefreshRequest { refresh_token: token.into() }).await
}

async fn ticket(at: &Running, identity: &Identity) -> Result<Ticket, CallError> {
    at.call("account", "issue-ticket", &IssueTicketRequest { identity: Some(identity.clone()) }).await
}

async fn redeem(at: &Running, ticket: &str, csrf: &str) -> Result<Identity, CallError> {
    let ticket = PresentedTicket { ticket: ticket.into(), csrf_token: csrf.into() };
    let open =
        OpenSessionRequest { ticket: Some(ticket), edge: "edge".into(), ..OpenSessionRequest::default() };
    let opened: OpenSession = at.call("session", "open", &open).await?;
    Ok(opened.identity.expect("whose it is"))
}

fn code<T>(answer: Result<T, CallError>) -> ErrorCode {
    answer.map(drop).expect_err("refused").code
}

#[tokio::test]
async fn who_registers_signs_in_and_is_known() {
    let at = Running::new().await;
    let made = register(&at, "Ann").await.expect("an account");
    assert_eq!((made.username.as_str(), made.role.as_str(), made.guest), ("Ann", "player", false));
    let tokens = sign_in(&at, "aNN", "correct horse").await.expect("signed in");
    assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (900, 2_592_000));
    let identity = verify(&at, &tokens).await.expect("verified");
    assert_eq!((&identity.account, identity.role.as_str()), (&made.id, "player"));
    assert_eq!(identity.csrf, super::tokens::csrf_hash(&tokens.csrf_token));
    at.world.pass(15 * MINUTE);
    assert_eq!(code(verify(&at, &tokens).await), ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused() {
    let at = Running::new().await;
    register(&at, "ann").await.expect("an account");
    for (name, password, why) in [
        ("ANN", "correct horse", ErrorCode::Conflict),
        ("", "correct horse", ErrorCode::InvalidArgument),
        ("a b", "correct horse", ErrorCode::InvalidArgument),
        ("admin", "correct horse", ErrorCode::InvalidArgument),
        ("ben", "short", ErrorCode::InvalidArgument),
        ("ben", &"x".repeat(9_999), ErrorCode::InvalidArgument),
    ] {
        let request =
            RegisterRequest { username: name.into(), password: password.into(), address: String::new() };
        let answer: Result<AccountInfo, _> = at.call("account", "register", &request).await;
        assert_eq!(code(answer), why, "{name}");
    }
    let closed = Running::with(super::Config { registration: false, guests: false, ..cheap() }).await;
    assert_eq!(code(register(&closed, "ann").await), ErrorCode::PermissionDenied);
    let guest: Result<Tokens, _> = closed.call("account", "guest", &GuestRequest::default()).await;
    assert_eq!(code(guest), ErrorCode::PermissionDenied);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let at = Running::new().await;
    register(&at, "ann").await.expect("an account");
    let guest: Tokens = at.call("account", "guest", &GuestRequest::default()).await.expect("a guest");
    let guest = verify(&at, &guest).await.expect("verified").username;
    let wrong = sign_in(&at, "ann", "wrong horse").await.expect_err("refused");
    for name in ["nobody", guest.as_str(), "", "\0", &"x".repeat(5_000)] {
        assert_eq!(sign_in(&at, name, "correct horse").await.expect_err("refused"), wrong, "{name}");
    }
    assert_eq!(wrong.code, ErrorCode::Unauthenticated);
    // Both took a turn on the hashing thread: where it has no room, both are refused for that.
    let hashed = at.hashed();
    sign_in(&at, "nobody.at.all", "correct horse").await.expect_err("refused");
    assert_eq!(at.hashed(), hashed + 1, "an unknown name costs a hash too");
}

#[tokio::test]
async fn a_name_is_not_tried_without_end() {
    let at = Running::new().await;
    register(&at, "ann").await.expect("an account");
    for _ in 0..super::Config::default().sign_ins_per_minute_per_name {
        assert_eq!(code(sign_in(&at, "ann", "wrong horse").await), ErrorCode::Unauthenticated);
    }
    let refused = sign_in(&at, "ANN", "correct horse").await.expect_err("refused");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after.expect("when to try again");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    at.world.pass(i64::try_from(wait.as_millis()).expect("short"));
    sign_in(&at, "ann", "correct horse").await.expect("signed in");
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_and_its_reuse_ends_the_sign_in() {
    let at = Running::new().await;
    let first = signed_in(&at, "ann").await;
    let second = refresh(&at, &first.refresh_token).await.expect("exchanged");
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_ne!(first.csrf_token, second.csrf_token);
    at.world.pass(9_999);
    let again = refresh(&at, &first.refresh_token).await.expect("the same successor");
    assert_eq!((&again.refresh_token, &again.csrf_token), (&second.refresh_token, &second.csrf_token));
    let third = refresh(&at, &second.refresh_token).await.expect("exchanged");
    verify(&at, &third).await.expect("it stands");
    at.world.pass(10_000);
    // Whoever comes with the old one now stole it, or was stolen from.
    assert_eq!(code(refresh(&at, &second.refresh_token).await), ErrorCode::Unauthenticated);
    assert_eq!(code(refresh(&at, &third.refresh_token).await), ErrorCode::Unauthenticated);
    assert_eq!(code(verify(&at, &third).await), ErrorCode::Unauthenticated, "at once, not when it is over");
    for bad in ["", "x", &"x".repeat(100_000)] {
        assert_eq!(code(refresh(&at, bad).await), ErrorCode::Unauthenticated);
    }
}

#[tokio::test]
async fn a_cookie_alone_says_whose_it_is() {
    let at = Running::new().await;
    let tokens = signed_in(&at, "ann").await;
    let ask = RefreshRequest { refresh_token: tokens.refresh_token.clone() };
    let by_cookie: Identity = at.call("account", "verify-refresh", &ask).await.expect("verified");
    assert_eq!(by_cookie, verify(&at, &tokens).await.expect("verified"));
    let none: Result<Identity, _> = at.call("account", "verify-refresh", &RefreshRequest::default()).await;
    assert_eq!(code(none), ErrorCode::Unauthenticated);
    refresh(&at, &tokens.refresh_token).await.expect("it was not used up");
}

#[tokio::test]
async fn a_sign_out_ends_one_sign_in_with_its_sessions() {
    let at = Running::new().await;
    let here = signed_in(&at, "ann").await;
    let there = sign_in(&at, "ann", "correct horse").await.expect("signed in");
    let identity = verify(&at, &here).await.expect("verified");
    make(&at, &identity, "Ann").await.expect("a character");
    let open = OpenSessionRequest {
        identity: Some(identity.clone()),
        edge: "edge".into(),
        ..OpenSessionRequest::default()
    };
    let session: OpenSession = at.call("session", "open", &open).await.expect("opened");
    let out = SignOutRequest { account: identity.account.clone(), family: identity.family.clone() };
    let foreign = SignOutRequest { account: AccountId::new(1, 1).to_string(), ..out.clone() };
    let _: Empty = at.call("account", "sign-out", &foreign).await.expect("nothing happens");
    verify(&at, &here).await.expect("it stands");
    let _: Empty = at.call("account", "sign-out", &out).await.expect("signed out");
    assert_eq!(code(verify(&at, &here).await), ErrorCode::Unauthenticated);
    assert_eq!(code(refresh(&at, &here.refresh_token).await), ErrorCode::Unauthenticated);
    assert_eq!(code(at.call::<OpenSession>("session", "open", &open).await), ErrorCode::Unauthenticated);
    let back = ResumeSessionRequest {
        secret: session.resume_secret,
        edge: "edge".into(),
        ..ResumeSessionRequest::default()
    };
    assert_eq!(code(at.call::<OpenSession>("session", "resume", &back).await), ErrorCode::Unauthenticated);
    verify(&at, &there).await.expect("the other sign-in stands");
}

#[tokio::test]
async fn a_ticket_is_good_once_for_a_moment_with_its_csrf_token() {
    let at = Running::new().await;
    let tokens = signed_in(&at, "ann").await;
    let identity = verify(&at, &tokens).await.expect("verified");
    make(&at, &identity, "Ann").await.expect("a character");
    let one = ticket(&at, &identity).await.expect("a ticket");
    assert_eq!(one.expires_in, 30);
    assert_eq!(redeem(&at, &one.ticket, &tokens.csrf_token).await, Ok(identity.clone()));
    assert_eq!(code(redeem(&at, &one.ticket, &tokens.csrf_token).await), ErrorCode::Unauthenticated, "once");

    let two = ticket(&at, &identity).await.expect("a ticket");
    assert_eq!(code(redeem(&at, &two.ticket, "another").await), ErrorCode::Unauthenticated);
    assert_eq!(
        code(redeem(&at, &two.ticket, &tokens.csrf_token).await),
        ErrorCode::Unauthenticated,
        "used up"
    );

    let three = ticket(&at, &identity).await.expect("a ticket");
    at.world.pass(30_000);
    assert_eq!(
        code(redeem(&at, &three.ticket, &tokens.csrf_token).await),
        ErrorCode::Unauthenticated,
        "late"
    );

    let four = ticket(&at, &identity).await.expect("a ticket");
    let out = SignOutRequest { account: identity.account.clone(), family: identity.family.clone() };
    let _: Empty = at.call("account", "sign-out", &out).await.expect("signed out");
    assert_eq!(code(redeem(&at, &four.ticket, &tokens.csrf_token).await), ErrorCode::Unauthenticated);
    assert_eq!(code(ticket(&at, &identity).await), ErrorCode::Unauthenticated);
    for bad in ["", "x.y", "*", &"x".repeat(100_000)] {
        assert_eq!(code(redeem(&at, bad, "").await), ErrorCode::Unauthenticated);
    }
}

#[tokio::test]
async fn of_many_who_redeem_one_ticket_one_is_let_in() {
    let at = Running::new().await;
    let tokens = signed_in(&at, "ann").await;
    let identity = verify(&at, &tokens).await.expect("verified");
    make(&at, &identity, "Ann").await.expect("a character");
    let one = ticket(&at, &identity).await.expect("a ticket");
    let tries = (0..20).map(|_| redeem(&at, &one.ticket, &tokens.csrf_token));
    let let_in = futures_util::future::join_all(tries).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(let_in, 1);
}

#[tokio::test]
async fn guests_come_with_a_character_and_go_when_they_are_idle() {
    let at = Running::new().await;
    let mut names = HashSet::new();
    for _ in 0..20 {
        let tokens: Tokens = at.call("account", "guest", &GuestRequest::default()).await.expect("a guest");
        let identity = verify(&at, &tokens).await.expect("verified");
        assert!(identity.guest);
        let ask = AccountRequest { account: identity.account.clone() };
        let list: CharacterList = at.call("account", "characters", &ask).await.expect("characters");
        let [one] = list.characters.as_slice() else { panic!("one character") };
        assert!(one.name.starts_with("Guest-"), "{}", one.name);
        names.insert(one.name.clone());
        assert_eq!(code(make(&at, &identity, "Ann").await), ErrorCode::PermissionDenied);
    }
    assert_eq!(names.len(), 20);
    // One is in the world; the others left.
    let stays: Tokens = at.call("account", "guest", &GuestRequest::default()).await.expect("a guest");
    let identity = verify(&at, &stays).await.expect("verified");
    let open =
        OpenSessionRequest { identity: Some(identity), edge: "e".into(), ..OpenSessionRequest::default() };
    let _: OpenSession = at.call("session", "open", &open).await.expect("opened");
    at.world.pass(60 * MINUTE + 1);
    at.account.tidy().await.expect("tidied");
    let left = at.world.store.idle_guests(i64::MAX, 100).await.expect("guests");
    assert_eq!(left.len(), 1);
    refresh(&at, &stays.refresh_token).await.expect("it is still there");
}

async fn make(at: &Running, identity: &Identity, name: &str) -> Result<CharacterName, CallError> {
    let request = CreateCharacterRequest { account: identity.account.clone(), name: name.into() };
    at.call("account", "create-character", &request).await
}

#[tokio::test]
async fn characters_are_made_named_once_and_deleted_by_their_owner() {
    let at = Running::new().await;
    let ann = verify(&at, &signed_in(&at, "ann").await).await.expect("verified");
    let ben = verify(&at, &signed_in(&at, "ben").await).await.expect("verified");
    let made = make(&at, &ann, " Bill ").await.expect("a character");
    assert_eq!(made.name, "Bill");
    for (name, why) in [
        ("BiII", ErrorCode::Conflict),
        ("System", ErrorCode::InvalidArgument),
        ("x", ErrorCode::InvalidArgument),
        ("room.*", ErrorCode::InvalidArgument),
        ("Guest-1234", ErrorCode::InvalidArgument),
    ] {
        assert_eq!(code(make(&at, &ben, name).await), why, "{name}");
    }
    for n in 0..7 {
        make(&at, &ann, &format!("Ann{}", "e".repeat(n))).await.expect("a character");
    }
    assert_eq!(code(make(&at, &ann, "Ninth").await), ErrorCode::FailedPrecondition);

    let delete = |account: &str, character: &str| DeleteCharacterRequest {
        account: account.into(),
        character: character.into(),
    };
    let theirs: Result<Empty, _> =
        at.call("account", "delete-character", &delete(&ben.account, &made.id)).await;
    assert_eq!(code(theirs), ErrorCode::NotFound);
    let open = OpenSessionRequest {
        identity: Some(ann.clone()),
        character: "bill".into(),
        edge: "e".into(),
        ..OpenSessionRequest::default()
    };
    let _: OpenSession = at.call("session", "open", &open).await.expect("opened");
    let there: Result<Empty, _> =
        at.call("account", "delete-character", &delete(&ann.account, &made.id)).await;
    assert_eq!(code(there), ErrorCode::FailedPrecondition, "it is in the world");
    // Those made within a millisecond are listed in any order.
    let mut others = make_list(&at, &ann).await.into_iter().filter(|other| other.id != made.id);
    let other = others.next().expect("another");
    let _: Empty =
        at.call("account", "delete-character", &delete(&ann.account, &other.id)).await.expect("deleted");
    assert_eq!(make_list(&at, &ann).await.len(), 7);
}

async fn make_list(at: &Running, identity: &Identity) -> Vec<CharacterName> {
    let ask = AccountRequest { account: identity.account.clone() };
    let list: CharacterList = at.call("account", "characters", &ask).await.expect("characters");
    list.characters
}

#[tokio::test]
async fn the_command_line_changes_accounts_and_ends_their_sign_ins() {
    let at = Running::new().await;
    let admin =
        Admin::with_cost(at.world.store.clone(), Some(at.caller()), at.world.clock(), cheap().password_cost)
            .expect("accounts");
    let made = admin.add("Admin", Role::Admin, Some("correct horse")).await.expect("an account");
    assert_eq!(made.role, "admin");
    assert_eq!(code(admin.add("ADMIN", Role::Player, None).await), ErrorCode::Conflict);
    admin.add("ben", Role::Player, None).await.expect("an account without a password");
    assert_eq!(code(sign_in(&at, "ben", "").await), ErrorCode::Unauthenticated);
    let names: Vec<String> =
        admin.list("").await.expect("a page").into_iter().map(|one| one.username).collect();
    assert_eq!(names, ["Admin", "ben"]);

    let tokens = sign_in(&at, "admin", "correct horse").await.expect("signed in");
    assert_eq!(verify(&at, &tokens).await.expect("verified").role, "admin");
    admin.role("admin", Role::Player).await.expect("demoted");
    until(async || verify(&at, &tokens).await.is_err()).await;

    admin.password("admin", "another horse").await.expect("changed");
    assert_eq!(code(sign_in(&at, "admin", "correct horse").await), ErrorCode::Unauthenticated);
    let tokens = sign_in(&at, "admin", "another horse").await.expect("signed in");

    let ban = Ban { until_ms: Some(at.world.now() + MINUTE), reason: "Enough.".into() };
    admin.ban("admin", Some(ban)).await.expect("banned");
    until(async || verify(&at, &tokens).await.is_err()).await;
    let refused = sign_in(&at, "admin", "another horse").await.expect_err("banned");
    assert_eq!(refused.code, ErrorCode::PermissionDenied);
    assert_eq!(refused.message, "This account is banned: Enough.");
    assert_eq!(
        code(sign_in(&at, "admin", "wrong horse").await),
        ErrorCode::Unauthenticated,
        "says nothing of it"
    );
    at.world.pass(MINUTE);
    sign_in(&at, "admin", "another horse").await.expect("the ban is over");

    admin.remove("admin").await.expect("removed");
    for gone in [admin.remove("admin").await, admin.role("nobody", Role::Admin).await] {
        assert_eq!(code(gone), ErrorCode::NotFound);
    }
    let audit = at.world.store.audit_page(None, 100).await.expect("a page");
    assert_eq!(audit.len(), 6, "add, add, role, password, ban, remove");
    assert!(audit.iter().all(|(_, entry)| !format!("{entry:?}").contains("horse")));
}
