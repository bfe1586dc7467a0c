//! The control socket itself: who may use it, one server a folder, and nonsense on it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::harness::Place;

fn ask(place: &Place, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(place.socket()).expect("the socket");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    // A server that refuses early may have closed its side.
    let _ = stream.write_all(line);
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

#[test]
fn only_the_owner_may_use_it() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mode =
        |path: std::path::PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(place.socket()), mode(place.data())), (0o600, 0o700));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_second_server_on_the_folder_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let server = place.serve(&[]);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0", "--data", "data"]).ends(1);
    assert!(
        second.err.contains(&format!("process {} serves the data folder data", server.pid())),
        "{second:?}"
    );
    place.user(&["list"]).ends(0);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn nonsense_is_answered_and_harms_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let password = "tell nobody this";
    for line in [
        "{}\n".to_owned(),
        "\n".to_owned(),
        "[".repeat(10_000) + "\n",
        format!(
            "{{\"verb\":\"user-add\",\"name\":\"x\",\"role\":\"player\",\"password\":\"{password}\",\"more\":1}}\n"
        ),
        format!("{{\"verb\":\"user-password\",\"name\":7,\"password\":\"{password}\"}}\n"),
        "{\"verb\":\"stop\"}\n".to_owned(),
        "\u{0}\u{1}\n".to_owned(),
    ] {
        let answer = ask(&place, line.as_bytes());
        assert!(answer.contains("\"outcome\":\"failed\"") && !answer.contains(password), "{line}: {answer}");
    }
    let long = "x".repeat(1_000_000);
    let answer = ask(&place, long.as_bytes());
    assert!(answer.is_empty() || answer.contains("longer than"), "{answer}");
    // More connections than are served at once, all silent: the next command still gets its turn when they end.
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(place.socket()).expect("the socket")).collect();
    drop(silent);
    place.user(&["list"]).ends(0);
    assert_eq!(server.stop(), Some(0));
}
