//! Checkpoints, settings, secrets, and many callers at once.

use tidings_storage::{Checkpoint, Secret, Stamp, Store};

use super::new_account;

fn checkpoint(epoch: &str, seq: u64) -> Checkpoint {
    Checkpoint {
        zone: "harbour".parse().expect("a zone"),
        stamp: Stamp { epoch: epoch.to_owned(), seq },
        body: format!("{{\"at\":{seq}}}"),
    }
}

pub async fn the_newest_checkpoint_is_kept(store: &Store) {
    let zone = "harbour".parse().expect("a zone");
    assert_eq!(store.checkpoint(&zone).await.expect("an answer"), None);
    for (epoch, seq, expected) in
        [("e1", 5, ("e1", 5)), ("e1", 3, ("e1", 5)), ("e1", 9, ("e1", 9)), ("e2", 1, ("e2", 1))]
    {
        store.save_checkpoint(&checkpoint(epoch, seq)).await.expect("kept");
        let kept = store.checkpoint(&zone).await.expect("an answer");
        assert_eq!(kept, Some(checkpoint(expected.0, expected.1)));
    }
}

pub async fn a_secret_is_made_once(store: &Store) {
    let first = store.secret("key", &Secret::new(vec![1; 32])).await.expect("a secret");
    let second = store.secret("key", &Secret::new(vec![2; 32])).await.expect("a secret");
    assert_eq!((first.expose(), second.expose()), (&vec![1; 32], &vec![1; 32]));
}

pub async fn settings_change(store: &Store) {
    for value in [Some("a"), Some("b"), None] {
        store.set_setting("motd", value).await.expect("kept");
        assert_eq!(store.setting("motd").await.expect("an answer").as_deref(), value);
    }
    store.ping().await.expect("it answers");
}

pub async fn writers_at_once_all_succeed(store: &Store) {
    let tasks: Vec<_> = (0..50u128)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store.create_account(&new_account(n, &format!("name.{n}x"))).await?;
                store.credentials(&tidings_storage::names::name_key(&format!("name.{n}x"))).await
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("no panic").expect("an answer").is_some(), "who wrote reads it back");
    }
    assert_eq!(store.accounts("", 1000).await.expect("a page").len(), 50);
}
