//! The plan, step by step, and under whatever may happen.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::registry::Class;

fn subject(name: &str) -> Subject {
    Subject::internal(name.to_owned(), Class::Durable)
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn push(plan: &mut Plan, names: &str, now: Instant) {
    for (place, name) in names.chars().enumerate() {
        let pushed = plan.push(&subject(&name.to_string()), Bytes::from(place.to_string()), now);
        assert_eq!(pushed, Pushed::Taken);
    }
}

fn next(plan: &mut Plan, now: Instant) -> Todo {
    plan.next(now, || "id".to_owned())
}

fn sends(plan: &mut Plan, now: Instant) -> Vec<String> {
    let mut sends = Vec::new();
    while let Todo::Send(group) = next(plan, now) {
        sends.push(format!("{}{}", group.subject, group.messages.len()));
    }
    sends.sort();
    sends
}

#[test]
fn by_size_bytes_and_time() {
    let now = Instant::now();
    let config = BatchConfig { messages: 4, bytes: 100, ..BatchConfig::default() };
    let mut plan = Plan::new(config.clone());
    push(&mut plan, "aab", now);
    assert_eq!(next(&mut plan, now), Todo::Wait(Some(now + ms(50))));
    push(&mut plan, "a", now + ms(10));
    assert_eq!(sends(&mut plan, now + ms(10)), ["a3", "b1"], "by size, a group a subject");
    let mut plan = Plan::new(config.clone());
    push(&mut plan, "ab", now);
    assert_eq!(sends(&mut plan, now + ms(49)), [""; 0]);
    assert_eq!(sends(&mut plan, now + ms(50)), ["a1", "b1"], "by time");
    let mut plan = Plan::new(config);
    plan.push(&subject("a"), Bytes::from(vec![0; 60]), now);
    plan.push(&subject("a"), Bytes::from(vec![0; 60]), now);
    assert_eq!(sends(&mut plan, now), ["a1"], "by bytes; the second is behind the first");
    plan.sent(&subject("a"));
    assert_eq!(sends(&mut plan, now), ["a1"]);
}

#[test]
fn what_fails_is_sent_again_with_all_behind_it_and_then_parked() {
    let now = Instant::now();
    let (a, b) = (subject("a"), subject("b"));
    let mut plan = Plan::new(BatchConfig { messages: 2, ..BatchConfig::default() });
    push(&mut plan, "ab", now);
    assert_eq!(sends(&mut plan, now), ["a1", "b1"]);
    plan.sent(&b);
    let mut at = now;
    for pause in [100, 200, 400] {
        plan.failed(&a, 0, true, at);
        push(&mut plan, "ab", at);
        assert_eq!(sends(&mut plan, at), ["b1"], "others go on, what is behind waits");
        plan.sent(&b);
        assert_eq!(next(&mut plan, at + ms(pause - 1)), Todo::Wait(Some(at + ms(pause))));
        at += ms(pause);
        let Todo::Send(group) = next(&mut plan, at) else { panic!("it is due") };
        assert_eq!((group.subject.as_str(), group.messages.len()), ("a", 1), "the same group");
    }
    plan.failed(&a, 0, true, at);
    let Todo::Park(first) = next(&mut plan, at) else { panic!("four tries") };
    assert_eq!(first.messages.len(), 1);
    plan.parked(&a, 7);
    let mut number = 8;
    while let Todo::Park(_) = next(&mut plan, at) {
        plan.parked(&a, number);
        number += 1;
    }
    assert_eq!((number, plan.pending()), (10, 0), "what was behind it is behind it on disk");
    plan.recover();
    for expected in 7..10 {
        assert_eq!(next(&mut plan, at), Todo::Recover(a.clone(), expected));
        plan.recovered(&a);
    }
    assert!(!plan.is_recovering());
    push(&mut plan, "aa", at);
    assert_eq!(sends(&mut plan, at), ["a2"]);
}

#[test]
fn a_flush_is_done_when_its_own_are() {
    let now = Instant::now();
    let mut plan = Plan::new(BatchConfig::default());
    push(&mut plan, "a", now);
    let first = plan.flush();
    assert_eq!(sends(&mut plan, now), ["a1"]);
    push(&mut plan, "ab", now);
    assert!(!plan.is_flushed(first));
    plan.sent(&subject("a"));
    assert!(plan.is_flushed(first), "though others wait");
    let second = plan.flush();
    assert!(!plan.is_flushed(second));
}

proptest! {
    /// Whatever fails, wherever: each message is sent once, or is on disk, or in memory; each subject's in order.
    #[test]
    fn nothing_is_lost_and_order_holds(
        steps in prop::collection::vec((0_u8..8, 0_u8..3, 0_u64..300), 1..400),
    ) {
        let mut now = Instant::now();
        let config = BatchConfig { messages: 3, pending_messages: 40, ..BatchConfig::default() };
        let mut plan = Plan::new(config);
        let (mut out, mut disk): (Vec<Todo>, BTreeMap<u64, Group>) = Default::default();
        let mut sent: HashMap<Subject, Vec<u64>> = HashMap::new();
        let (mut taken, mut parked) = (0_u64, 0);
        let deliver = |sent: &mut HashMap<Subject, Vec<u64>>, subject: &Subject, messages: &[Bytes]| {
            let numbers = messages.iter().map(|one| std::str::from_utf8(one).unwrap().parse::<u64>().unwrap());
            sent.entry(subject.clone()).or_default().extend(numbers);
        };
        let finish = |plan: &mut Plan, todo: Todo, how: u8, now: Instant, sent: &mut _, disk: &mut BTreeMap<u64, Group>, parked: &mut u64| {
            match todo {
                Todo::Send(group) if how == 0 => {
                    // One of them went, then it failed.
                    let done = usize::from(group.messages.len() > 1);
                    deliver(sent, &group.subject, &group.messages[..done]);
                    plan.failed(&group.subject, done, true, now);
                }
                Todo::Send(group) if how == 1 => plan.failed(&group.subject, 0, false, now),
                Todo::Send(group) => {
                    deliver(sent, &group.subject, &group.messages);
                    plan.sent(&group.subject);
                }
                Todo::Park(group) if how == 0 => plan.not_parked(&group.subject, ms(100), now),
                Todo::Park(group) => {
                    *parked += 1;
                    let subject = group.subject.clone();
                    disk.insert(*parked, group);
                    plan.parked(&subject, *parked);
                }
                Todo::Recover(subject, _) if how == 0 => plan.not_recovered(&subject),
                Todo::Recover(subject, number) => {
                    let group = disk.remove(&number).unwrap();
                    deliver(sent, &subject, &group.messages);
                    plan.recovered(&subject);
                }
                Todo::Wait(_) => {}
            }
        };
        for (step, which, wait) in steps {
            now += ms(wait);
            match step {
                0..=3 => {
                    let name = subject(["a", "b", "c"][usize::from(which)]);
                    if plan.push(&name, Bytes::from(taken.to_string()), now) == Pushed::Taken {
                        taken += 1;
                    }
                    prop_assert!(plan.pending() <= 40);
                }
                4 => out.push(plan.next(now, || "id".to_owned())),
                5 if which == 0 => plan.recover(),
                5 if which == 1 => drop(plan.flush()),
                _ if !out.is_empty() => {
                    let todo = out.swap_remove(usize::from(which) % out.len());
                    finish(&mut plan, todo, which, now, &mut sent, &mut disk, &mut parked);
                }
                _ => {}
            }
            let busy: HashSet<_> = out
                .iter()
                .filter_map(|todo| match todo {
                    Todo::Send(group) | Todo::Park(group) => Some(group.subject.clone()),
                    Todo::Recover(subject, _) => Some(subject.clone()),
                    Todo::Wait(_) => None,
                })
                .collect();
            let under_way = out.iter().filter(|todo| !matches!(todo, Todo::Wait(_))).count();
            prop_assert_eq!(busy.len(), under_way, "one at a time a subject");
        }
        for todo in out {
            finish(&mut plan, todo, 2, now, &mut sent, &mut disk, &mut parked);
        }
        plan.flush();
        for _ in 0..10_000 {
            plan.recover();
            now += ms(500);
            let todo = plan.next(now, || "id".to_owned());
            if matches!(todo, Todo::Wait(None)) {
                break;
            }
            // The disk is full by now: what is there makes room.
            let how = if matches!(todo, Todo::Park(_)) { 0 } else { 2 };
            finish(&mut plan, todo, how, now, &mut sent, &mut disk, &mut parked);
        }
        prop_assert!(plan.is_idle() && disk.is_empty());
        let mut all: Vec<u64> = sent.values().flatten().copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..taken).collect::<Vec<_>>());
        for numbers in sent.values() {
            prop_assert!(numbers.is_sorted(), "{:?}", numbers);
        }
    }
}
