//! What every backend does: each test takes a fresh store and says what must hold. `backend_suite!` makes tests of
//! all of them for one backend.

pub mod accounts;
pub mod characters;
pub mod chat;
pub mod families;
pub mod moderation;
pub mod system;

use tidings_protocol::{AccountId, CharacterId};
use tidings_storage::{CharacterName, NewAccount, NewCharacter, Role, Secret, Store, Username};

pub const NOW: i64 = 1_763_700_000_000;

pub fn account_id(n: u128) -> AccountId {
    AccountId::new(1_763_700_000_000, n)
}

pub fn character_id(n: u128) -> CharacterId {
    CharacterId::new(1_763_700_000_000, n)
}

pub fn new_account(n: u128, name: &str) -> NewAccount {
    NewAccount {
        id: account_id(n),
        username: Username::new(name).expect("an allowed name"),
        password: Some(Secret::new(format!("$argon2id$of-{name}"))),
        role: Role::Player,
        guest: false,
        created_ms: NOW,
    }
}

pub fn new_character(n: u128, account: u128, name: &str) -> NewCharacter {
    NewCharacter {
        id: character_id(n),
        account: account_id(account),
        name: CharacterName::new(name).expect("an allowed name"),
        created_ms: NOW + n as i64,
    }
}

pub async fn with_account(store: &Store, n: u128, name: &str) -> AccountId {
    store.create_account(&new_account(n, name)).await.expect("an account");
    account_id(n)
}

/// Makes tests of a backend: `$fresh` is an async function that gives a new, empty store and what
/// must live as long.
#[macro_export]
macro_rules! backend_suite {
    ($backend:ident, $fresh:path) => {
        mod $backend {
            $crate::backend_suite!(@tests $fresh,
                accounts: a_username_is_taken_once, accounts_come_in_pages, changes_of_an_account_are_kept,
                    a_guest_is_made_whole_or_not_at_all, a_removed_account_leaves_nothing,
                    only_idle_guests_are_found, a_crowd_of_guests_is_made_at_once;
                families: a_token_is_exchanged_once, the_one_before_gives_the_same_successor_for_a_moment,
                    a_later_reuse_revokes_the_family, a_revoked_family_gives_nothing, families_end,
                    a_sign_in_stands_until_it_is_revoked_or_banned, a_sign_in_comes_with_the_only_character, a_crowd_is_told_of_its_sign_ins;
                characters: a_name_is_taken_once, an_account_has_so_many, a_place_is_kept,
                    an_older_commit_changes_nothing, commits_at_once_are_as_one_after_another, ids_come_in_pages, only_the_owner_deletes;
                moderation: mutes_are_made_and_end, a_crowd_is_told_of_its_mutes, what_is_known_of_the_mutes_of_many_accounts_is_told_at_once, an_account_brings_its_mutes_and_its_silence,
                    a_replay_does_not_bring_a_mute_back, sanctions_hold_and_end,
                    the_same_entry_is_audited_once, the_audit_log_has_an_end, records_of_what_is_gone_are_left_out;
                chat: a_line_is_kept_once, the_newest_lines_come_oldest_first, many_lines_are_all_there, muted_authors_are_left_out,
                    a_place_never_moves_back, history_is_pruned, places_without_lines_are_forgotten;
                system: the_newest_checkpoint_is_kept, a_secret_is_made_once, settings_change,
                    writers_at_once_all_succeed;
            );
        }
    };
    (@tests $fresh:path, $($area:ident: $($test:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (store, _kept) = $fresh().await;
                $crate::suite::$area::$test(&store).await;
                store.close().await;
            }
        )+)+
    };
}
