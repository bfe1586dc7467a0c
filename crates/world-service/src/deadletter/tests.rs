//! The service as whoever may call it meets it: over the bus, with a token or without.

use serde_json::{Value, json};
use tidings_bus::WorkConfig;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{SignInRequest, StaffToken, Tokens};
use tidings_service::dead_letters::{self, Ask, Which};
use tidings_service::{CallError, ServerHandle};
use tidings_storage::{AuditEntry, Role};

use super::DeadLetterService;
use super::staff::AUDIT_BYTES_MAX;
use crate::account::admin::Admin;
use crate::testing::{Running, cheap};

const PASSWORD: &str = "correct horse";
const MINUTE: i64 = 60_000;

/// The service beside those it stands on, and two letters of the queue 'mail'.
struct Desk {
    at: Running,
    admin: Admin,
    _server: ServerHandle,
}

impl Desk {
    async fn new() -> Self {
        let at = Running::new().await;
        let (store, bus, clock) = (at.world.store.clone(), at.world.bus.clone(), at.world.clock());
        let cost = cheap().password_cost;
        let admin = Admin::with_cost(store.clone(), None, clock.clone(), cost).expect("accounts");
        let service = DeadLetterService::new(store, bus, clock, at.account.clone());
        let _server = service.server().start().await.expect("it serves");
        let desk = Self { at, admin, _server };
        desk.give_up().await;
        desk
    }

    async fn give_up(&self) {
        let bus = &self.at.world.bus;
        let of = |template| bus.registry().subject(template, &["mail"]).expect("a subject");
        let work = bus.work(&of("work"), &of("dlq"), WorkConfig::default()).expect("work");
        for text in ["to ann", "to ben"] {
            work.enqueue(text.into(), Vec::new()).await.expect("stored");
            work.next().await.expect("work").term("timed out").await.expect("a letter");
        }
    }

    async fn sign_in(&self, name: &str, role: Role) -> Tokens {
        self.admin.add(name, role, Some(PASSWORD)).await.expect("an account");
        let request =
            SignInRequest { username: name.into(), password: PASSWORD.into(), address: "::1".into() };
        self.at.call("account", "sign-in", &request).await.expect("signed in")
    }

    async fn ask(&self, staff: StaffToken, ask: Ask) -> Result<Value, CallError> {
        self.at.world.pass(1); // entries of one moment that say the same are one
        dead_letters::ask(&self.at.caller(), staff, ask).await
    }

    async fn refused(&self, staff: &StaffToken, ask: Ask) -> (ErrorCode, String) {
        let error = self.ask(staff.clone(), ask).await.expect_err("refused");
        (error.code, error.message)
    }

    /// What the audit log has of dead letters, the newest first.
    async fn audited(&self) -> Vec<AuditEntry> {
        let page = self.at.world.store.audit_page(None, 99).await.expect("a page");
        page.into_iter().map(|(_, entry)| entry).filter(|entry| entry.action.starts_with("dead-")).collect()
    }

    async fn letters(&self) -> usize {
        let queues = dead_letters::queues(self.at.world.bus.clone());
        let page = dead_letters::answer(&queues, list()).await.expect("a page");
        page["letters"].as_array().map_or(0, Vec::len)
    }
}

fn access(tokens: &Tokens) -> StaffToken {
    StaffToken { access: tokens.access_token.clone(), ..StaffToken::default() }
}

fn list() -> Ask {
    Ask::List { queue: "mail".into(), which: Which::default() }
}

fn purge_all() -> Ask {
    Ask::PurgeMany { queue: "mail".into(), which: Which::default() }
}

fn replay_all() -> Ask {
    Ask::ReplayMany { queue: "mail".into(), which: Which::default(), per_second: None }
}

/// Everything that can be asked.
fn everything() -> [Ask; 7] {
    let queue = || "mail".to_owned();
    [
        Ask::Queues {},
        list(),
        Ask::Show { queue: queue(), id: 1 },
        Ask::Replay { queue: queue(), id: 1 },
        replay_all(),
        Ask::Purge { queue: queue(), id: 1 },
        purge_all(),
    ]
}

#[tokio::test]
async fn without_a_token_that_is_good_nothing_is_told_or_changed() {
    let desk = Desk::new().await;
    let ann = desk.sign_in("ann", Role::Admin).await;
    let forged = StaffToken { access: format!("{}x", ann.access_token), ..StaffToken::default() };
    let unknown = StaffToken { refresh: "of nobody".into(), ..StaffToken::default() };
    desk.at.world.pass(15 * MINUTE);
    for (token, why) in [
        (StaffToken::default(), "has to carry an access token"),
        (forged, "is not valid"),
        (unknown, "has ended"),
        (access(&ann), "is over"),
    ] {
        for ask in everything() {
            let (code, told) = desk.refused(&token, ask).await;
            assert_eq!(code, ErrorCode::Unauthenticated);
            assert!(told.contains(why), "{told}");
        }
    }
    assert_eq!((desk.letters().await, desk.audited().await), (2, Vec::new()));
}

#[tokio::test]
async fn who_is_not_staff_is_refused_and_noted() {
    let desk = Desk::new().await;
    let player = access(&desk.sign_in("ann", Role::Player).await);
    for ask in everything() {
        let (code, told) = desk.refused(&player, ask).await;
        assert_eq!(code, ErrorCode::PermissionDenied);
        assert!(told.starts_with("This is for the role"), "{told}");
    }
    let moderator = access(&desk.sign_in("ben", Role::Moderator).await);
    for ask in [replay_all(), purge_all()] {
        let refused = desk.refused(&moderator, ask).await;
        assert_eq!(refused, (ErrorCode::PermissionDenied, "This is for the role 'admin'.".to_owned()));
    }
    let noted = desk.audited().await;
    assert_eq!((noted.len(), desk.letters().await), (9, 2));
    assert!(noted.iter().all(|entry| entry.detail == "refused"), "{noted:?}");
    let newest = (&*noted[0].name, &*noted[0].action, &*noted[0].target);
    assert_eq!(newest, ("ben", "dead-letters.purge", "mail"));
}

#[tokio::test]
async fn staff_looks_and_what_it_changes_is_noted_once() {
    let desk = Desk::new().await;
    let moderator = access(&desk.sign_in("ben", Role::Moderator).await);
    let page = desk.ask(moderator, list()).await.expect("a page");
    let id = page["letters"][0]["id"].as_u64().expect("a number");
    assert_eq!(desk.audited().await, [], "looking changes nothing");

    let ann = desk.sign_in("ann", Role::Admin).await;
    let one = Ask::Replay { queue: "mail".into(), id };
    let done = desk.ask(access(&ann), one.clone()).await.expect("put back");
    assert_eq!(done["replayed"], 1);
    let noted = desk.audited().await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    let entry = (&*noted[0].name, &*noted[0].action, &*noted[0].target, noted[0].time_ms);
    assert_eq!(entry, ("ann", "dead-letters.replay", "mail", desk.at.world.now()));
    assert_eq!(noted[0].detail, serde_json::to_string(&one).expect("JSON"));

    // A browser has the cookie alone.
    let cookie = StaffToken { refresh: ann.refresh_token, ..StaffToken::default() };
    let done = desk.ask(cookie, purge_all()).await.expect("taken out");
    let noted = desk.audited().await;
    assert_eq!((&done["purged"], noted.len(), desk.letters().await), (&json!(1), 2, 0), "{noted:?}");
    assert_eq!(noted[0].action, "dead-letters.purge");
}

#[tokio::test]
async fn a_role_that_was_taken_away_is_gone_for_the_service_too() {
    let desk = Desk::new().await;
    let ann = access(&desk.sign_in("ann", Role::Admin).await);
    desk.ask(ann.clone(), list()).await.expect("a page");
    desk.admin.role("ann", Role::Player).await.expect("changed");
    desk.at.world.pass(MINUTE); // longer than what was read of a sign-in is kept
    assert_eq!(desk.refused(&ann, purge_all()).await.0, ErrorCode::Unauthenticated);
    assert_eq!(desk.letters().await, 2);
}

#[tokio::test]
async fn a_description_of_any_length_is_noted() {
    let desk = Desk::new().await;
    let ann = access(&desk.sign_in("ann", Role::Admin).await);
    let which = Which { reason: Some("ö".repeat(5_000)), ..Which::default() };
    desk.ask(ann, Ask::PurgeMany { queue: "mail".into(), which }).await.expect("nothing is like that");
    let noted = desk.audited().await;
    assert!((AUDIT_BYTES_MAX - 1..=AUDIT_BYTES_MAX).contains(&noted[0].detail.len()), "{noted:?}");
}
