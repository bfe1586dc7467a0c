//! A process without file descriptors accepts again as soon as it has some: alone in its own process, whose limit it
//! lowers.

#[allow(dead_code, reason = "the harness serves another test binary too")]
#[path = "http/harness.rs"]
mod harness;

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use harness::{Request, TestServer, with_server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors left to the test once the server runs.
const LEFT: u64 = 60;

fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count() as u64
}

#[test]
fn without_descriptors_the_silent_give_way_and_people_get_in_again() {
    with_server(async |server: &TestServer| {
        let before = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: Some(open_descriptors() + LEFT), maximum: before.maximum };
        setrlimit(Resource::Nofile, limit).expect("a lower limit");
        // Connected by the system, while the server has no turn: when it has one, nothing can be accepted.
        let mut silent = Vec::new();
        while let Ok(stream) = TcpStream::connect(server.address) {
            silent.push(stream);
        }
        assert!(silent.len() as u64 >= LEFT - 5, "{} connections", silent.len());
        // Room for one more client and for one of the server's ends: it takes them in turn, and each gives way.
        silent.truncate(silent.len() - 2);
        let asked = tokio::time::timeout(Duration::from_secs(15), server.ask(Request::get("/health")));
        assert_eq!(asked.await.expect("an answer").status, 200);
        let gone = |stream: &mut TcpStream| {
            stream.set_nonblocking(true).is_ok() && matches!(stream.read(&mut [0; 1]), Ok(0))
        };
        let closed = silent.iter_mut().map(gone).filter(|gone| *gone).count();
        assert!(closed > silent.len() / 2, "{closed} of {} gave way", silent.len());
        setrlimit(Resource::Nofile, before).expect("the limit that was");
    });
}
