//! The queue on disk: in order, bounded, over disks that refuse and files that are torn or changed.

use proptest::prelude::*;

use super::*;

fn group(number: usize) -> StoredGroup {
    StoredGroup {
        subject: format!("s.{}", number % 3),
        id: format!("id{number}"),
        messages: (0..=number % 4).map(|place| Bytes::from(vec![b'x'; place * 7])).collect(),
    }
}

fn groups(queue: &FailedQueue) -> Vec<StoredGroup> {
    queue.list().iter().map(|view| queue.read(view.number).unwrap()).collect()
}

const MOST: u64 = 10_000;

#[test]
fn it_comes_back_in_order_and_is_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
    assert_eq!(found, FoundFailed::default());
    let numbers: Vec<u64> = (0..6).map(|number| queue.append(&group(number)).unwrap()).collect();
    queue.remove(numbers[1]).unwrap();
    let busy = FailedQueue::open(folder.path(), MOST).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Storage, "one process at a time");
    drop(queue);
    let (mut queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
    assert_eq!(found, FoundFailed { groups: 5, damaged: 0, torn_bytes: 0 });
    assert_eq!(groups(&queue), [group(0), group(2), group(3), group(4), group(5)]);
    for view in queue.list() {
        queue.remove(view.number).unwrap();
    }
    assert_eq!((queue.bytes(), fs::metadata(&queue.path).unwrap().len()), (0, 0));
    assert!(queue.append(&group(0)).unwrap() > numbers[5], "a number never comes again");
}

#[test]
fn it_is_bounded_and_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = FailedQueue::open(folder.path(), 200).unwrap();
    let first = queue.append(&group(0)).unwrap();
    let mut refused = 0;
    for number in 1..100 {
        match queue.append(&group(number)) {
            Ok(number) => queue.remove(number).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                refused += 1;
            }
        }
        assert!(fs::metadata(&queue.path).unwrap().len() <= 200 * (REWRITE_AT + 1));
    }
    assert_eq!(refused, 0);
    let too_much = StoredGroup { messages: vec![Bytes::from(vec![0; 500])], ..group(0) };
    assert_eq!(queue.append(&too_much).unwrap_err().kind(), ErrorKind::Overloaded);
    assert_eq!(groups(&queue), [group(0)]);
    queue.remove(first).unwrap();
}

/// A disk that takes nothing for a while: told, nothing half done, and it goes on.
#[test]
fn a_disk_that_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = FailedQueue::open(folder.path(), MOST).unwrap();
    let first = queue.append(&group(0)).unwrap();
    let read_only = File::open(&queue.path).unwrap();
    let file = std::mem::replace(&mut queue.file, read_only);
    assert_eq!(queue.append(&group(1)).unwrap_err().kind(), ErrorKind::Storage);
    // Taken out all the same, so that its room is free; after a restart it is there again.
    assert_eq!(queue.remove(first).unwrap_err().kind(), ErrorKind::Storage);
    assert!(groups(&queue).is_empty());
    assert_eq!(queue.bytes(), 0);
    queue.file = file;
    queue.append(&group(2)).unwrap();
    drop(queue);
    let (queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
    assert_eq!(found, FoundFailed { groups: 2, damaged: 0, torn_bytes: 0 });
    assert_eq!(groups(&queue), [group(0), group(2)]);
}

/// Cut off anywhere, as by a crash: what was whole before is there, and nothing else; and it goes on.
#[test]
fn torn_at_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = FailedQueue::open(folder.path(), MOST).unwrap();
    let ends: Vec<u64> = (0..4)
        .map(|number| {
            queue.append(&group(number)).unwrap();
            queue.end
        })
        .collect();
    let path = queue.path.clone();
    drop(queue);
    let content = fs::read(&path).unwrap();
    for length in 0..=content.len() {
        fs::write(&path, &content[..length]).unwrap();
        let (mut queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
        let whole = ends.iter().filter(|end| **end <= length as u64).count();
        assert_eq!((found.groups, found.damaged), (whole, 0), "cut at {length}");
        queue.append(&group(9)).unwrap();
        let mut expected: Vec<_> = (0..whole).map(group).collect();
        expected.push(group(9));
        assert_eq!(groups(&queue), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// A flipped bit is found, and harms no other record.
    #[test]
    fn a_flipped_bit_harms_one_at_most(place in any::<prop::sample::Index>(), bit in 0..8) {
        let folder = tempfile::tempdir().unwrap();
        let (mut queue, _) = FailedQueue::open(folder.path(), MOST).unwrap();
        for number in 0..5 {
            queue.append(&group(number)).unwrap();
        }
        let path = queue.path.clone();
        drop(queue);
        let mut content = fs::read(&path).unwrap();
        let at = place.index(content.len());
        content[at] ^= 1_u8 << bit;
        fs::write(&path, &content).unwrap();
        let (queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
        let left = groups(&queue);
        prop_assert_eq!(left.len(), 4);
        prop_assert!(found.damaged == 1 || found.torn_bytes > 0, "{:?}", found);
        let all: Vec<_> = (0..5).map(group).collect();
        let mut rest = all.iter();
        prop_assert!(left.iter().all(|one| rest.any(|other| other == one)), "in order, and as they were");
    }
}

/// What is done of a group does not come again, is told once, and keeps its place; where the disk does not take the word
/// of it, the queue knows by itself.
#[test]
fn the_rest_of_a_group_keeps_its_place() {
    let rest_of = |whole: &StoredGroup, done: usize| StoredGroup {
        messages: whole.messages[done..].to_vec(),
        ..whole.clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = FailedQueue::open(folder.path(), MOST).unwrap();
    let numbers: Vec<u64> = [3, 7].map(|number| queue.append(&group(number)).unwrap()).to_vec();
    queue.keep_rest(numbers[0], 1).unwrap();
    assert_eq!(groups(&queue), [rest_of(&group(3), 1), group(7)]);
    assert_eq!(queue.list()[0].messages, 3);
    let bytes = queue.bytes();
    assert_eq!(bytes, queue.list().iter().map(|view| view.bytes).sum::<u64>());
    let read_only = File::open(&queue.path).unwrap();
    let file = std::mem::replace(&mut queue.file, read_only);
    assert_eq!(queue.keep_rest(numbers[0], 1).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(groups(&queue), [rest_of(&group(3), 2), group(7)]);
    assert_eq!((queue.list()[0].messages, queue.bytes()), (2, bytes));
    queue.file = file;
    drop(queue);
    let (mut queue, found) = FailedQueue::open(folder.path(), MOST).unwrap();
    assert_eq!(found, FoundFailed { groups: 2, damaged: 0, torn_bytes: 0 });
    assert_eq!((groups(&queue), queue.bytes()), (vec![rest_of(&group(3), 1), group(7)], bytes));
    queue.keep_rest(numbers[0], 2).unwrap();
    queue.remove(numbers[1]).unwrap();
    assert_eq!(groups(&queue), [rest_of(&group(3), 3)]);
    assert_eq!(queue.keep_rest(numbers[1], 1).unwrap_err().kind(), ErrorKind::Storage, "there is none");
}

#[test]
fn rests_do_not_let_the_file_grow() {
    let folder = tempfile::tempdir().unwrap();
    let most = 3_000;
    let (mut queue, _) = FailedQueue::open(folder.path(), most).unwrap();
    let whole = StoredGroup { messages: vec![Bytes::from("x"); 100], ..group(0) };
    let number = queue.append(&whole).unwrap();
    for left in (1..100).rev() {
        queue.keep_rest(number, 1).unwrap();
        assert_eq!(queue.read(number).unwrap().messages.len(), left);
        assert!(fs::metadata(&queue.path).unwrap().len() <= most * (REWRITE_AT + 1));
    }
    drop(queue);
    let (queue, _) = FailedQueue::open(folder.path(), most).unwrap();
    assert_eq!(queue.read(number).unwrap().messages.len(), 1);
}

/// A program that is being started holds the lock for a moment; another queue holds it for as long as it lives.
#[test]
fn the_lock_is_waited_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, _) = FailedQueue::open(folder.path(), MOST).unwrap();
    assert_eq!(FailedQueue::open(folder.path(), MOST).unwrap_err().kind(), ErrorKind::Storage);
    let going = std::thread::spawn(move || {
        std::thread::sleep(LOCK_AGAIN * 2);
        drop(queue);
    });
    FailedQueue::open(folder.path(), MOST).unwrap();
    going.join().unwrap();
}
