//! TLS and credentials with real servers: what is right connects, each thing that is wrong is told by its setting at the
//! start, and files that change are used.

#![allow(clippy::unwrap_used, missing_docs)]
#[path = "security/authority.rs"]
mod authority;
#[path = "security/operator.rs"]
mod operator;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_bus::resilience::State;
use tidings_bus::{
    Append, Bus, Class, ErrorKind, Login, Nats, NatsConfig, Part, Pattern, Registry, Rights, Secret,
    Security, SlowReader, TemplateDef, WorkConfig,
};
use tidings_test_support::{NatsServer, newest_nats, oldest_nats};

use crate::authority::{Authority, For, Pair};
use crate::operator::Operator;

/// How long something may take that happens by itself: looks every 2 s, a wait of 2 s, a connection.
const SOON: Duration = Duration::from_secs(20);

fn registry() -> Arc<Registry> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "any",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Arc::new(
        Registry::new(
            None,
            vec![
                row("room.log", "room.{room:slug}.log", Class::Durable),
                row("ask", "ask.{what:slug}", Class::Request),
                row("work", "work.{queue:slug}", Class::Work),
                row("dlq", "dlq.{queue:slug}", Class::Durable),
            ],
        )
        .unwrap(),
    )
}

async fn connect(servers: &[String], security: &Security) -> Result<(Arc<Nats>, Bus), tidings_bus::Error> {
    let config =
        NatsConfig { servers: servers.to_vec(), security: security.clone(), ..NatsConfig::default() };
    let nats = Nats::connect(config, registry()).await?;
    Ok((nats.clone(), Bus::new(nats, registry())))
}

/// Stores something.
async fn works(bus: &Bus) -> Result<(), tidings_bus::Error> {
    let subject = bus.registry().subject("room.log", &["hall"])?;
    bus.commit(vec![Append { subject, payload: Bytes::from_static(b"x") }], vec![]).await.map(drop)
}

fn is_up(nats: &Nats) -> bool {
    nats.states().now() == State::Connected
}

/// Waits until it is so.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let end = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn tls(pair: &Pair, more: &str) -> String {
    format!("tls {{ cert_file: {:?}, key_file: {:?}, {more} }}\n", pair.cert, pair.key)
}

fn trusting(ca: &Path) -> Security {
    Security { ca_file: Some(ca.to_owned()), ..Security::default() }
}

fn with_cert(security: &Security, pair: &Pair) -> Security {
    Security { cert_file: Some(pair.cert.clone()), key_file: Some(pair.key.clone()), ..security.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_connects() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let (server, client) =
        (authority.make("server", &For::Here), authority.make("client", &For::Host("tidings")));
    let named = authority.make("named", &For::Host("nats.example"));
    let verify = format!("ca_file: {:?}, verify: true", authority.ca);
    let trust = trusting(&authority.ca);
    let by_name = Security { server_name: Some("nats.example".to_owned()), ..trust.clone() };
    for (configuration, security) in [
        (tls(&server, ""), trust.clone()),
        (tls(&server, &verify), with_cert(&trust, &client)),
        (tls(&server, "handshake_first: true"), Security { tls_first: true, ..trust.clone() }),
        (tls(&named, ""), by_name),
    ] {
        for version in [oldest_nats(), newest_nats()] {
            let server = NatsServer::start_with(version, &configuration, &[]).unwrap();
            let (_nats, bus) = connect(&[server.tls_url()], &security).await.unwrap();
            works(&bus).await.unwrap();
        }
    }
}

struct Wrong {
    what: &'static str,
    configuration: String,
    tls: bool,
    security: Security,
    kind: ErrorKind,
    told: &'static str,
}

async fn tells(cases: Vec<Wrong>) {
    for case in cases {
        let server = NatsServer::start_with(newest_nats(), &case.configuration, &[]).unwrap();
        let url = if case.tls { server.tls_url() } else { server.url() };
        let begun = Instant::now();
        let error =
            connect(&[url], &case.security).await.err().unwrap_or_else(|| panic!("{} connects", case.what));
        let told = error.to_string();
        assert_eq!(error.kind(), case.kind, "{}: {told}", case.what);
        assert!(told.contains(case.told), "{}: {told}", case.what);
        assert!(!told.contains("hidden") && !format!("{:?}", case.security).contains("hidden"), "{told}");
        assert!(!error.is_retryable() && begun.elapsed() < Duration::from_secs(6), "{}: one try", case.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_tls_is_told_by_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, stranger) =
        (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "stranger"));
    let server = authority.make("server", &For::Here);
    let client = authority.make("client", &For::Host("tidings"));
    let (past, other) =
        (authority.make("past", &For::Past), authority.make("other", &For::Host("nats.example")));
    let foreign = stranger.make("foreign", &For::Here);
    let (trust, none) = (trusting(&authority.ca), Security::default());
    let verify = tls(&server, &format!("ca_file: {:?}, verify: true", authority.ca));
    let mixed = Pair { cert: client.cert.clone(), key: server.key.clone() };
    let first = Security { tls_first: true, ..trust.clone() };
    let text = folder.path().join("text");
    std::fs::write(&text, "hidden").unwrap();
    let no_key = Security { cert_file: Some(client.cert.clone()), ..trust.clone() };
    let wrong = |what, configuration: &str, tls, security: &Security, kind, told| Wrong {
        what,
        configuration: configuration.to_owned(),
        tls,
        security: security.clone(),
        kind,
        told,
    };
    use ErrorKind::{Config, Tls};
    tells(vec![
        wrong("server expired", &tls(&past, ""), true, &trust, Tls, "server's certificate has expired"),
        wrong("server of another name", &tls(&other, ""), true, &trust, Tls, "'nats.server_name'"),
        wrong("server of another CA", &tls(&foreign, ""), true, &trust, Tls, "('nats.ca_file')"),
        wrong("server without TLS", "", true, &trust, Tls, "a server has no TLS: write nats://"),
        wrong("server with TLS", &tls(&server, ""), false, &none, Tls, "a server wants TLS: write tls://"),
        wrong("TLS second", &tls(&server, ""), true, &first, Tls, "'nats.tls_first' is not for it"),
        wrong("TLS first", &tls(&server, "handshake_first: true"), true, &trust, Tls, "('nats.tls_first')"),
        wrong(
            "no client certificate",
            &verify,
            true,
            &trust,
            Tls,
            "set 'nats.cert_file' and 'nats.key_file'",
        ),
        wrong("client expired", &verify, true, &with_cert(&trust, &past), Tls, "'nats.cert_file' expired"),
        wrong("client of another CA", &verify, true, &with_cert(&trust, &foreign), Tls, "'nats.cert_file'"),
        wrong("another's key", &verify, true, &with_cert(&trust, &mixed), Config, "'nats.key_file': "),
        wrong("no key", &verify, true, &no_key, Config, "set 'nats.key_file'"),
        wrong(
            "no such file",
            &verify,
            true,
            &trusting(Path::new("/none/ca.pem")),
            Config,
            "'nats.ca_file': cannot read /none/ca.pem",
        ),
        wrong("no PEM", &verify, true, &trusting(&text), Config, "holds no certificate"),
        wrong("TLS settings without TLS", "", false, &trust, Config, "'nats.ca_file' is of TLS"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_by_what() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let with = |login: Login| Security { login, ..Security::default() };
    let secret = |text: &str| Secret::Text(text.to_owned());
    let user = |password: &str| with(Login::User { user: "ann".to_owned(), password: secret(password) });
    let key = nkeys::KeyPair::new_user();
    let (right, operator) = (file("right", &key.seed().unwrap()), Operator::new());
    let stranger = file("stranger", &nkeys::KeyPair::new_user().seed().unwrap());
    let (good, bad) = (
        file("good.creds", &operator.credentials("ann")),
        file("bad.creds", &Operator::new().credentials("ann")),
    );
    let servers = [
        (
            "authorization { token: right }",
            with(Login::Token(secret("right"))),
            with(Login::Token(secret("hidden"))),
            "'nats.token_file'",
        ),
        (
            "authorization { user: ann, password: right }",
            user("right"),
            user("hidden"),
            "'nats.user' and 'nats.password_file'",
        ),
        (
            &format!("authorization {{ users: [{{ nkey: {} }}] }}", key.public_key()),
            with(Login::Nkey(right)),
            with(Login::Nkey(stranger)),
            "'nats.nkey_file'",
        ),
        (
            &operator.configuration(),
            with(Login::Credentials(good)),
            with(Login::Credentials(bad)),
            "'nats.credentials_file'",
        ),
    ];
    let mut wrong = Vec::new();
    for (configuration, right, other, told) in servers {
        let configuration = configuration.to_owned();
        for version in [oldest_nats(), newest_nats()] {
            let server = NatsServer::start_with(version, &configuration, &[]).unwrap();
            let (_nats, bus) = connect(&[server.url()], &right).await.unwrap();
            works(&bus).await.unwrap();
        }
        let kind = ErrorKind::Authentication;
        let nobody = Wrong {
            what: "nobody",
            configuration: configuration.clone(),
            tls: false,
            security: Security::default(),
            kind,
            told: "wants to know who this is",
        };
        wrong.push(nobody);
        wrong.push(Wrong { what: "wrong", configuration, tls: false, security: other, kind, told });
    }
    let missing = with(Login::Credentials(PathBuf::from("/none/a.creds")));
    wrong.push(Wrong {
        what: "no file",
        configuration: String::new(),
        tls: false,
        security: missing,
        kind: ErrorKind::Config,
        told: "'nats.credentials_file': cannot read /none/a.creds",
    });
    tells(wrong).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_password_is_refused_and_not_shown() {
    let servers = ["nats://ann:hidden@127.0.0.1:1".to_owned()];
    let error = connect(&servers, &Security::default()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("'nats.password_file'") && !error.to_string().contains("hidden"),
        "{error}"
    );
    let config = NatsConfig { servers: servers.to_vec(), ..NatsConfig::default() };
    assert!(!format!("{config:?}").contains("hidden"));
}

/// A worker of another program, with no more rights than its part has: its own queue from the first message to the dead
/// letter, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_needs_no_more_than_its_part_may() {
    let registry = registry();
    let queue = |name: &str| registry.subject("work", &[name]).unwrap();
    let part = Part { works: vec![queue("mail")], commits: vec!["dlq"], declares: true, ..Part::default() };
    let rights = Rights::of(&registry, &[], "_INBOX.worker", &part).unwrap();
    let list = |subjects: &[String]| format!("{{ allow: {subjects:?} }}");
    let users = format!(
        "authorization {{ users: [ {{ user: worker, password: w, permissions: {{ publish: {}, subscribe: {} }} }} ] }}\n",
        list(&rights.publish),
        list(&rights.subscribe)
    );
    for version in [oldest_nats(), newest_nats()] {
        let server = NatsServer::start_with(version, &users, &[]).unwrap();
        let login = Login::User { user: "worker".to_owned(), password: Secret::Text("w".to_owned()) };
        let config = NatsConfig {
            servers: vec![server.url()],
            security: Security { login, ..Security::default() },
            inbox: "_INBOX.worker".to_owned(),
            keeps: false,
            ..NatsConfig::default()
        };
        let bus = Bus::new(Nats::connect(config, registry.clone()).await.unwrap(), registry.clone());
        let dead = |name: &str| registry.subject("dlq", &[name]).unwrap();
        let twice = WorkConfig { deliveries_max: 2, ..WorkConfig::default() };
        let work = bus.work(&queue("mail"), &dead("mail"), twice).unwrap();
        for text in ["done", "bad", "late"] {
            work.enqueue(Bytes::from(text), Vec::new()).await.unwrap();
        }
        for _ in 0..4 {
            let job = work.next().await.unwrap();
            match &job.payload[..] {
                b"done" => job.double_ack().await.unwrap(),
                b"bad" => job.term("no such place").await.unwrap(),
                _ => {
                    job.in_progress().await.unwrap();
                    job.nak(Duration::ZERO, "not today").await.unwrap();
                }
            }
        }
        until("both are dead letters", || async {
            bus.read(&[dead("mail")], 0, 9).await.unwrap().len() == 2
        })
        .await;
        assert!(!server.log().contains("Violation"), "{}", server.log());
        let other = bus.work(&queue("post"), &dead("post"), WorkConfig::default()).unwrap();
        let refused = other.enqueue(Bytes::from("x"), Vec::new()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Permission, "{refused}");
    }
}

/// Who asks says where the answer goes: not into a log, nor to JetStream, which the one who answers may write to.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_an_inbox_and_nowhere_else() {
    let server = NatsServer::start(newest_nats()).unwrap();
    let (_nats, bus) = connect(&[server.url()], &Security::default()).await.unwrap();
    let ask = bus.registry().subject("ask", &["time"]).unwrap();
    let mut asked = bus.queue_subscribe(&Pattern::from(&ask), "clock", 16).await.unwrap();
    let url = server.url();
    let mut stream = std::net::TcpStream::connect(url.strip_prefix("nats://").unwrap()).unwrap();
    let forged =
        ["room.hall.log", "$JS.API.STREAM.PURGE.tidings_EVENTS", "$KV.tidings_x.y", "bus.note.epoch"];
    write_all(&mut stream, "CONNECT {\"verbose\":false}\r\n");
    for (to, answered) in forged.iter().map(|to| (*to, false)).chain([("_INBOX.a.1", true)]) {
        write_all(&mut stream, &format!("PUB ask.time {to} 1\r\nx\r\n"));
        let message = tokio::time::timeout(SOON, asked.next()).await.unwrap().unwrap();
        assert_eq!(message.wants_answer(), answered, "{to}");
    }
    // What is asked by the bus itself is answered.
    let answer = bus.request(&ask, Bytes::new(), Vec::new(), SOON);
    let serve = async { asked.next().await.unwrap().respond(Bytes::from_static(b"noon")).unwrap() };
    assert_eq!(tokio::join!(answer, serve).0.unwrap(), "noon");
}

fn write_all(stream: &mut std::net::TcpStream, text: &str) {
    std::io::Write::write_all(stream, text.as_bytes()).unwrap();
}

/// The server's password changes, and the file with it: before or after, the process is in again by itself.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_change_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let users = |passwords: &[&str]| {
        let mut text = String::from("authorization { users: [\n");
        for (number, password) in passwords.iter().enumerate() {
            // The same user may not be there twice: an older password is another user's.
            let name = if number == 0 { "ann".to_owned() } else { format!("ann{number}") };
            writeln!(text, "{{ user: {name}, password: {password} }}").unwrap();
        }
        text + "] }\n"
    };
    std::fs::write(&path, "first\n").unwrap();
    let server = NatsServer::start_with(newest_nats(), &users(&["first"]), &[]).unwrap();
    let login = Login::User { user: "ann".to_owned(), password: Secret::File(path.clone()) };
    let (nats, bus) = connect(&[server.url()], &Security { login, ..Security::default() }).await.unwrap();
    works(&bus).await.unwrap();
    // The server first: the process is put out, and comes in once the file has the new one.
    server.reconfigure(&users(&["second"])).unwrap();
    until("it is put out", || async { !is_up(&nats) }).await;
    std::fs::write(&path, "").unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    std::fs::write(&path, "second\n").unwrap();
    until("it is in again", || async { is_up(&nats) }).await;
    works(&bus).await.unwrap();
}

/// Other credentials while the old ones are good still: the process connects anew with them by itself.
#[tokio::test(flavor = "multi_thread")]
async fn other_credentials_are_used_without_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::new();
    let path = folder.path().join("ann.creds");
    std::fs::write(&path, operator.credentials("first")).unwrap();
    let server = NatsServer::start_with(newest_nats(), &operator.configuration(), &[]).unwrap();
    let login = Login::Credentials(path.clone());
    let (nats, bus) = connect(&[server.url()], &Security { login, ..Security::default() }).await.unwrap();
    let first = nats.client_id();
    // What cannot be used changes nothing.
    std::fs::write(&path, "nothing").unwrap();
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    assert_eq!(nats.client_id(), first);
    std::fs::write(&path, operator.credentials("second")).unwrap();
    until("it connects anew", || async { nats.client_id() != first }).await;
    works(&bus).await.unwrap();
}

/// Everything is of another authority: the server after a restart, and the files of the process.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_change_are_used_at_the_next_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "old"), Authority::new(folder.path(), "new"));
    let (ca, server, client) =
        (folder.path().join("ca.pem"), server_pair(folder.path()), client_pair(folder.path()));
    let put = |authority: &Authority| {
        let made = (authority.make("s", &For::Here), authority.make("c", &For::Host("tidings")));
        for (from, to) in [(&made.0, &server), (&made.1, &client)] {
            std::fs::copy(&from.cert, &to.cert).unwrap();
            std::fs::copy(&from.key, &to.key).unwrap();
        }
        std::fs::copy(&authority.ca, &ca).unwrap();
    };
    put(&old);
    let configuration = tls(&server, &format!("ca_file: {ca:?}, verify: true"));
    let mut running = NatsServer::start_with(newest_nats(), &configuration, &[]).unwrap();
    let (nats, bus) = connect(&[running.tls_url()], &with_cert(&trusting(&ca), &client)).await.unwrap();
    works(&bus).await.unwrap();
    put(&new);
    running.kill().unwrap();
    running.restart().unwrap();
    until("it connects with the new ones", || async { is_up(&nats) && works(&bus).await.is_ok() }).await;
}

fn server_pair(folder: &Path) -> Pair {
    Pair { cert: folder.join("server.pem"), key: folder.join("server-key.pem") }
}

fn client_pair(folder: &Path) -> Pair {
    Pair { cert: folder.join("client.pem"), key: folder.join("client-key.pem") }
}
