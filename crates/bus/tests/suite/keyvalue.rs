//! Key/value: compare-and-set, keys, bounds, time limits, watching. Every case runs over a durable and a
//! volatile bucket; the fixture declares `kept` and `loose`.

use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{ErrorKind, Kv, KvEvent, KvWatch};

use super::{Fixture, soon};

fn buckets(fixture: &Fixture) -> [Kv; 2] {
    ["kept", "loose"].map(|name| fixture.bus.kv(name).unwrap())
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub async fn compare_and_set(fixture: Fixture) {
    for kv in buckets(&fixture) {
        assert!(kv.get("a").await.unwrap().is_none());
        let first = kv.create("a", value("1"), None).await.unwrap();
        assert_eq!(kv.create("a", value("2"), None).await.unwrap_err().kind(), ErrorKind::WrongRevision);
        let second = kv.update("a", value("3"), first, None).await.unwrap();
        assert!(second > first);
        let error = kv.update("a", value("4"), first, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongRevision);
        let found = kv.get("a").await.unwrap().unwrap();
        assert_eq!((found.value, found.revision), (value("3"), second));
        assert_eq!(kv.delete_revision("a", first).await.unwrap_err().kind(), ErrorKind::WrongRevision);
        kv.delete_revision("a", second).await.unwrap();
        assert!(kv.get("a").await.unwrap().is_none());
        kv.delete("a").await.unwrap();
        let error = kv.update("a", value("5"), second, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongRevision);
        let third = kv.create("a", value("6"), None).await.unwrap();
        assert!(third > second, "a revision is never reused");
        let fourth = kv.put("a", value("7"), None).await.unwrap();
        assert!(fourth > third);
    }
    let kv = fixture.bus.kv("kept").unwrap();
    let mut racing = Vec::new();
    for number in 0..20 {
        let kv = kv.clone();
        racing.push(tokio::spawn(async move { kv.create("race", value(&number.to_string()), None).await }));
    }
    let mut won = 0;
    for one in racing {
        won += usize::from(soon(one).await.unwrap().is_ok());
    }
    assert_eq!(won, 1, "one creates");
}

pub async fn keys_and_bounds(fixture: Fixture) {
    for kv in buckets(&fixture) {
        for key in ["b", "a.1", "c=2"] {
            kv.put(key, value("x"), None).await.unwrap();
        }
        // What it takes to be sure of a refusal is no key, and takes no key's place.
        let refused = kv.update("b", value("y"), u64::MAX >> 1, None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WrongRevision);
        assert_eq!(kv.keys().await.unwrap(), ["a.1", "b", "c=2"]);
        for key in ["", ".", "a.", ".a", "a..b", "a b", "a*", ">", "ä", "a\n", &"k".repeat(201)] {
            assert_eq!(kv.put(key, value("x"), None).await.unwrap_err().kind(), ErrorKind::Subject, "{key}");
            assert_eq!(kv.get(key).await.unwrap_err().kind(), ErrorKind::Subject, "{key}");
        }
        let big = Bytes::from(vec![0; 1_025]);
        assert_eq!(kv.put("big", big, None).await.unwrap_err().kind(), ErrorKind::Schema);
        for number in 0..97 {
            kv.put(&format!("k{number}"), value("x"), None).await.unwrap();
        }
        assert_eq!(kv.put("more", value("x"), None).await.unwrap_err().kind(), ErrorKind::Overloaded);
        kv.put("k1", value("y"), None).await.unwrap();
    }
}

pub async fn time_runs_out(fixture: Fixture) {
    for kv in buckets(&fixture) {
        let mut watch = kv.watch();
        assert_eq!(soon(watch.next()).await.unwrap(), KvEvent::Current);
        // Longer than a slow disk takes to store it.
        let short = Some(Duration::from_millis(600));
        let first = kv.create("a", value("1"), short).await.unwrap();
        assert!(matches!(soon(watch.next()).await.unwrap(), KvEvent::Put(_)));
        let gone = soon(watch.next()).await.unwrap();
        assert_eq!(gone, KvEvent::Delete { key: "a".to_owned(), revision: first });
        assert!(kv.get("a").await.unwrap().is_none());
        assert!(kv.keys().await.unwrap().is_empty());
        let second = kv.create("a", value("2"), Some(Duration::from_secs(60))).await.unwrap();
        kv.update("a", value("3"), second, None).await.unwrap();
        assert!(kv.get("a").await.unwrap().is_some());
    }
}

async fn until_current(watch: &mut KvWatch) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        match soon(watch.next()).await.unwrap() {
            KvEvent::Put(entry) => {
                found.push((entry.key, String::from_utf8(entry.value.to_vec()).unwrap()));
            }
            KvEvent::Current => {
                found.sort();
                return found;
            }
            event => panic!("{event:?}"),
        }
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub async fn watching_tells_what_is_and_what_changes(fixture: Fixture) {
    for kv in buckets(&fixture) {
        kv.put("p.a", value("1"), None).await.unwrap();
        kv.put("p.b", value("1"), None).await.unwrap();
        kv.put("q", value("1"), None).await.unwrap();
        kv.put("p.a", value("2"), None).await.unwrap();
        kv.put("gone", value("1"), None).await.unwrap();
        kv.delete("gone").await.unwrap();
        let mut all = kv.watch();
        let mut some = kv.watch_prefix("p.");
        assert_eq!(until_current(&mut all).await, pairs(&[("p.a", "2"), ("p.b", "1"), ("q", "1")]));
        assert_eq!(until_current(&mut some).await, pairs(&[("p.a", "2"), ("p.b", "1")]));
        kv.put("q", value("2"), None).await.unwrap();
        kv.delete("p.b").await.unwrap();
        assert!(matches!(soon(all.next()).await.unwrap(), KvEvent::Put(entry) if entry.key == "q"));
        for watch in [&mut all, &mut some] {
            let event = soon(watch.next()).await.unwrap();
            assert!(matches!(event, KvEvent::Delete { key, .. } if key == "p.b"));
        }
    }
}

pub async fn a_lagging_watcher_begins_anew(fixture: Fixture) {
    for kv in buckets(&fixture) {
        let mut watch = kv.watch();
        assert_eq!(soon(watch.next()).await.unwrap(), KvEvent::Current);
        for round in 0..300 {
            kv.put(&format!("k{}", round % 90), value(&round.to_string()), None).await.unwrap();
            if round % 3 == 0 {
                kv.delete(&format!("k{}", round % 90)).await.unwrap();
            }
        }
        kv.put("last", value("x"), None).await.unwrap();
        let mut known = std::collections::BTreeMap::new();
        loop {
            match soon(watch.next()).await.unwrap() {
                KvEvent::Put(entry) => {
                    known.insert(entry.key.clone(), entry.revision);
                    if entry.key == "last" {
                        break;
                    }
                }
                KvEvent::Delete { key, .. } => drop(known.remove(&key)),
                KvEvent::Resync => known.clear(),
                KvEvent::Current => {}
            }
        }
        let keys: Vec<_> = known.into_keys().collect();
        assert_eq!(keys, kv.keys().await.unwrap(), "what the watcher knows is what there is");
    }
}

pub async fn an_unknown_bucket_is_refused(fixture: Fixture) {
    assert_eq!(fixture.bus.kv("nothing").err().map(|error| error.kind()), Some(ErrorKind::Subject));
}
