//! A NATS server with certificates and users as `tidings` makes them: a world goes on as it does elsewhere, and a user
//! can do no more than its processes need.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tidings_bus::{Bus, Login, Nats, NatsConfig, Secret, WorkConfig};
use tidings_service::{declare_on_nats, subjects::registry};
use tidings_test_support::{NatsServer, Player, newest_nats, oldest_nats};

use crate::harness::process;

/// Who may do everything.
const ROOT: &str = "root";

/// Every user's password: its name, backwards.
fn password(user: &str) -> String {
    user.chars().rev().collect()
}

fn tidings(args: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings")).args(args).output()?;
    ensure!(output.status.success(), "{args:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A server with these users, and more configuration.
fn server(version: &str, more: &str) -> Result<NatsServer> {
    server_with(version, &[], |users| format!("{users}{more}"))
}

/// The same, where the command is asked for more, and what it printed goes somewhere else.
fn server_with(version: &str, asked: &[&str], whole: impl Fn(&str) -> String) -> Result<NatsServer> {
    let permissions = |form: &[&str]| tidings(&[&["subjects", "--permissions"], asked, form].concat());
    let users: Value = serde_json::from_str(&permissions(&["--json"])?)?;
    let users = users["users"].as_array().context("there are users")?.iter();
    let environment: Vec<(String, String)> = users
        .map(|user| {
            let text = |key: &str| user[key].as_str().unwrap_or_default();
            (text("password_variable").to_owned(), password(text("user")))
        })
        .collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let fragment = permissions(&[])?;
    // And one who may do everything: what the tests do themselves.
    let root = format!("users: [\n    {{ user: \"{ROOT}\", password: \"{}\" }}", password(ROOT));
    let fragment = fragment.replacen("users: [", &root, 1);
    NatsServer::start_with(version, &whole(&fragment), &environment)
}

#[tokio::test]
async fn a_world_needs_no_more_than_its_users_may() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let certs = folder.path().join("certs");
    tidings(&["certs", "--out", &certs.display().to_string(), "--name", "test", "--host", "127.0.0.1"])?;
    // What is renewed is of the authority that is there.
    tidings(&["certs", "--out", &certs.display().to_string(), "--renew"])?;
    let file = |name: &str| certs.join(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        file("server.pem"),
        file("server-key.pem"),
        file("ca.pem")
    );
    let nats = server(newest_nats(), &tls)?;
    let start = |roles: &str, user: &str| {
        let secret = folder.path().join(user);
        write_secret(&secret, &password(user))?;
        process(&nats, roles)
            .without_limits()
            .set("nats.servers", nats.tls_url())
            .set("nats.ca_file", file("ca.pem"))
            .set("nats.cert_file", file("client.pem"))
            .set("nats.key_file", file("client-key.pem"))
            .set("nats.user", user)
            .set("nats.password_file", secret.display())
            .start()
    };
    // An edge makes what is missing as well: nobody has to be first.
    let (edge, mut world) = std::thread::scope(|scope| {
        let edge = scope.spawn(|| start("edge", "tidings-edge"));
        let world = start("zone,services", "tidings-zone-services");
        anyhow::Ok((edge.join().expect("no panic")?, world?))
    })?;
    let mut edges = vec![edge];
    edges.push(start("edge", "tidings-edge")?);

    let mut ann = entered(&edges[0].api(), "Ann").await?;
    let mut ben = entered(&edges[1].api(), "Ben").await?;
    assert_eq!(ann.does("say hello").await?, "You say: hello");
    ben.hears("Ann says: hello").await?;
    assert_eq!(ben.does("go east").await?, "You go east.");
    ann.hears("Ben leaves to the east.").await?;
    assert_eq!(ann.does("mute Ben").await?, "You have muted Ben.");
    assert!(ann.does("who").await?.starts_with("Online: 2"));
    let ann = ann.reconnect().await?;
    ensure!(ann.connection.welcome().recovered, "{:?}", ann.connection.welcome().reason);
    tidings(&["user", "role", "ann-account", "moderator", "--data", &world.data().display().to_string()])?;
    let violations =
        ["violations", "--json", "--data", &world.data().display().to_string()].map(str::to_owned);
    tidings(&violations.iter().map(String::as_str).collect::<Vec<_>>())?;
    for edge in &mut edges {
        edge.stop()?;
    }
    world.stop()?;
    let log = nats.log();
    let denied: Vec<&str> = log.lines().filter(|line| line.contains("Violation")).collect();
    ensure!(denied.is_empty(), "{denied:#?}");
    Ok(())
}

/// In an account of its own a world works as it does elsewhere, and nobody of another account hears or sees it.
#[tokio::test]
async fn a_world_has_an_account_of_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let others = "OTHERS: { jetstream: enabled, users: [{ user: stranger, password: x }] }";
    let whole = |users: &str| format!("accounts {{\n{users}\n{others}\n}}\nno_auth_user: stranger\n");
    let nats = server_with(newest_nats(), &["--account", "NORTH"], whole)?;
    let secret = folder.path().join("all");
    write_secret(&secret, &password("tidings-all"))?;
    let mut world = process(&nats, "edge,zone,services")
        .without_limits()
        .set("nats.user", "tidings-all")
        .set("nats.password_file", secret.display())
        .start()?;
    let stranger = async_nats::connect(nats.url()).await?;
    let mut overheard = stranger.subscribe(">").await?;
    stranger.flush().await?;
    let mut ann = entered(&world.api(), "Ann").await?;
    assert_eq!(ann.does("say hello").await?, "You say: hello");
    let streams = stranger.request("$JS.API.STREAM.NAMES", "".into()).await?;
    let streams: Value = serde_json::from_slice(&streams.payload)?;
    ensure!(streams["total"] == 0, "{streams}");
    // Nothing but what it said itself, and what its server says of that.
    let mut next = async || {
        let next = futures_util::StreamExt::next(&mut overheard);
        tokio::time::timeout(Duration::from_millis(500), next).await.ok().flatten()
    };
    while let Some(message) = next().await {
        let own = ["_INBOX.", "$JS.API.STREAM.NAMES", "$JS.EVENT.ADVISORY.API"]
            .iter()
            .any(|own| message.subject.starts_with(own));
        ensure!(own, "{}", message.subject);
    }
    world.stop()?;
    ensure!(!nats.log().contains("Violation"), "{}", nats.log());
    Ok(())
}

/// Once the processes have found each other.
async fn entered(api: &tidings_client::Api, name: &str) -> Result<Player> {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match Player::new(api, name).await {
            Ok(player) => return Ok(player),
            Err(error) if std::time::Instant::now() > until => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(secret.as_bytes())?)
}

/// What the server says to one line of a user, by the protocol itself: nothing of ours is between.
fn said(nats: &NatsServer, user: &str, line: &str) -> Result<String> {
    let url = nats.url();
    let stream = TcpStream::connect(url.strip_prefix("nats://").context("an address")?)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut writer = stream.try_clone()?;
    let connect = serde_json::json!({"verbose": false, "user": user, "pass": password(user)});
    write!(writer, "CONNECT {connect}\r\n{line}\r\nPING\r\n")?;
    let mut told = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line == "PONG" {
            break;
        }
        if line.starts_with("-ERR") {
            told.push_str(&line);
        }
    }
    Ok(told)
}

#[test]
fn a_user_can_do_nothing_else() -> Result<()> {
    const EDGE: &str = "tidings-edge";
    const ZONE: &str = "tidings-zone";
    const SERVICES: &str = "tidings-services";
    const WORLD: &str = "tidings-zone-services";
    const OPERATOR: &str = "tidings-operator";
    for version in [oldest_nats(), newest_nats()] {
        let nats = server(version, "")?;
        for (user, line, allowed) in [
            (EDGE, "PUB room.harbour_quay.log 1\r\nx", false),
            (EDGE, "PUB player.00000000000000000000000000000001.log 1\r\nx", false),
            (EDGE, "PUB zone.harbour.owner 1\r\nx", false),
            (EDGE, "PUB bus.live.room.harbour_quay.log 1\r\nx", false),
            (EDGE, "PUB bus.note.trim.room.harbour_quay.log 1\r\nx", false),
            (EDGE, "PUB ctl.sessions 1\r\nx", false),
            (EDGE, "PUB $JS.API.STREAM.PURGE.tidings_EVENTS 0\r\n", false),
            (EDGE, "PUB $JS.API.STREAM.DELETE.tidings_EVENTS 0\r\n", false),
            (EDGE, "PUB dlq.mail 1\r\nx", false),
            (EDGE, "PUB work.mail 1\r\nx", false),
            (EDGE, "PUB $JS.API.CONSUMER.CREATE.tidings_EVENTS.x 0\r\n", false),
            (EDGE, "PUB $KV.tidings_sessions.x 1\r\nx", false),
            (EDGE, "PUB $KV.tidings_edges.x 1\r\nx", false),
            (SERVICES, "PUB $KV.tidings_edges.x 1\r\nx", true),
            (EDGE, "PUB svc.account.v1.sign-in 1\r\nx", true),
            (EDGE, "PUB cmd.zone.harbour 1\r\nx", true),
            (EDGE, "SUB bus.live.> 1", true),
            (EDGE, "SUB edge.north.v1.* q 1", true),
            (EDGE, "SUB svc.account.v1.* q 1", false),
            (EDGE, "SUB cmd.zone.* q 1", false),
            (EDGE, "SUB _INBOX.edge.a.* 1", true),
            (EDGE, "SUB _INBOX.> 1", false),
            (EDGE, "SUB > 1", false),
            (OPERATOR, "PUB $JS.API.INFO 0\r\n", true),
            (OPERATOR, "PUB $JS.API.STREAM.CREATE.somebody_elses 0\r\n", false),
            (OPERATOR, "PUB $JS.API.STREAM.UPDATE.tidings_EVENTS 0\r\n", true),
            (OPERATOR, "PUB $JS.API.STREAM.UPDATE.somebody_elses 0\r\n", false),
            (OPERATOR, "PUB $JS.API.STREAM.DELETE.tidings_EVENTS 0\r\n", false),
            (WORLD, "PUB $JS.API.STREAM.UPDATE.tidings_EVENTS 0\r\n", false),
            (OPERATOR, "PUB $JS.API.STREAM.PURGE.tidings_EVENTS 0\r\n", false),
            (OPERATOR, "PUB room.harbour_quay.log 1\r\nx", false),
            (OPERATOR, "PUB bus.note.epoch 1\r\nx", false),
            (OPERATOR, "SUB _INBOX.operator.a.* 1", true),
            (OPERATOR, "SUB _INBOX.edge.a.* 1", false),
            (SERVICES, "PUB room.harbour_quay.log 1\r\nx", false),
            (SERVICES, "SUB svc.account.v1.* q 1", true),
            (SERVICES, "PUB work.mail 1\r\nx", true),
            (SERVICES, "PUB dlq.mail 1\r\nx", true),
            (SERVICES, "PUB bus.note.trim.dlq.mail 1\r\nx", true),
            (SERVICES, "PUB bus.note.trim.room.harbour_quay.log 1\r\nx", false),
            (ZONE, "PUB work.mail 1\r\nx", false),
            (ZONE, "PUB room.harbour_quay.log 1\r\nx", true),
            (ZONE, "PUB $KV.tidings_tickets.x 1\r\nx", false),
            (ZONE, "PUB bus.live.room.harbour_quay.log 1\r\nx", false),
            (WORLD, "PUB room.harbour_quay.log 1\r\nx", true),
            (WORLD, "PUB bus.live.room.harbour_quay.log 1\r\nx", false),
            ("tidings-all", "PUB bus.live.room.harbour_quay.log 1\r\nx", false),
        ] {
            let told = said(&nats, user, line)?;
            ensure!(told.is_empty() == allowed, "{version} {user} {line:?}: {told:?}");
            ensure!(allowed || told.contains("Permissions Violation"), "{user} {line:?}: {told}");
        }
    }
    Ok(())
}

/// Two letters of the queue 'mail', by a worker who may do everything.
async fn give_up(nats: &NatsServer) -> Result<()> {
    let mut config = declare_on_nats(NatsConfig::default().server(nats.url()));
    config.security.login = Login::User { user: ROOT.into(), password: Secret::Text(password(ROOT)) };
    let registry = Arc::new(registry(None)?);
    let bus = Bus::new(Nats::connect(config, Arc::clone(&registry)).await?, registry);
    let (queue, dead) =
        (bus.registry().subject("work", &["mail"])?, bus.registry().subject("dlq", &["mail"])?);
    let work = bus.work(&queue, &dead, WorkConfig::default())?;
    for (text, why) in [("to ann", "timed out"), ("to ben", "no such person")] {
        work.enqueue(text.into(), Vec::new()).await?;
        work.next().await?.term(why).await?;
    }
    bus.drain(Duration::from_secs(5)).await;
    Ok(())
}

#[tokio::test]
async fn dead_letters_are_put_back_and_taken_out_by_an_edge_without_rights_on_queues() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = server(newest_nats(), "")?;
    let start = |roles: &str, user: &str| {
        let secret = folder.path().join(user);
        write_secret(&secret, &password(user))?;
        let process = process(&nats, roles).without_limits().set("nats.user", user);
        process.set("nats.password_file", secret.display()).start()
    };
    let world = start("zone,services", "tidings-zone-services")?;
    let edge = start("edge", "tidings-edge")?;
    give_up(&nats).await?;
    let api = edge.api();
    drop(entered(&api, "Ann").await?);
    tidings(&[
        "user",
        "role",
        "ann-account",
        "--role",
        "admin",
        "--data",
        &world.data().display().to_string(),
    ])?;
    let session = api.sign_in("ann-account", "correct horse Ann").await?;
    let bearer = format!("Bearer {}", session.access_token);
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        let path = format!("/api/v1/dead-letters{path}");
        api.send(method, &path, &[("authorization", &bearer)], body).await
    };
    let page = ask(Method::GET, "/mail", None).await?;
    ensure!(page.status == 200, "{page:?}");
    let id = page.body["letters"][0]["id"].clone();
    let done = ask(Method::POST, "/mail/replay", Some(json!({ "id": id }))).await?;
    ensure!(done.status == 200 && done.body["replayed"] == 1, "{done:?}");
    let done = ask(Method::POST, "/mail/purge", Some(json!({ "which": {} }))).await?;
    ensure!(done.status == 200 && done.body["purged"] == 1, "{done:?}");
    let left = ask(Method::GET, "", None).await?;
    ensure!(left.body["queues"] == json!([]), "{left:?}");
    ensure!(!nats.log().contains("Violation"), "{}", nats.log());
    Ok(())
}

/// Runs a verb at this server as this user; whether it ended well, and what it said.
fn ran(nats: &NatsServer, folder: &Path, user: &str, args: &[&str]) -> Result<(bool, String)> {
    let secret = folder.join(user);
    write_secret(&secret, &password(user))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args(args).args(["--nats", &nats.url(), "--set", &format!("nats.user={user}")]);
    let output = command.args(["--set", &format!("nats.password_file={}", secret.display())]).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), said))
}

#[tokio::test]
async fn the_command_line_has_a_user_and_says_what_others_may_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let nats = server(newest_nats(), "")?;
    // Nothing is there yet, and looking makes nothing.
    let (done, said) = ran(&nats, folder, "tidings-operator", &["dlq", "list"])?;
    ensure!(!done && said.contains("there is no stream 'tidings_EVENTS'"), "{said}");
    let (done, said) = ran(&nats, folder, "tidings-operator", &["streams", "--json"])?;
    let seen: Value = serde_json::from_str(&said)?;
    ensure!(done && seen["streams"][0]["found"].is_null() && seen["refused"] == json!([]), "{said}");
    let (done, said) = ran(&nats, folder, "tidings-operator", &["streams", "apply"])?;
    ensure!(done && said.contains("made"), "{said}");

    give_up(&nats).await?;
    let (done, said) = ran(&nats, folder, "tidings-operator", &["streams"])?;
    ensure!(done && said.contains("consumer worker"), "{said}");
    let (_, said) = ran(&nats, folder, "tidings-operator", &["check", "--listen", "127.0.0.1:0", "--json"])?;
    let seen: Value = serde_json::from_str(&said)?;
    let of = |what: &str| seen["findings"].as_array().into_iter().flatten().find(|one| one["what"] == what);
    ensure!(of("jetstream").is_some_and(|one| one["verdict"] == "ok") && of("rights").is_none(), "{said}");
    let (done, said) = ran(&nats, folder, "tidings-operator", &["dlq", "list", "mail", "--json"])?;
    let seen: Value = serde_json::from_str(&said)?;
    let id = seen["letters"][0]["id"].to_string();
    ensure!(done && seen["letters"][1]["text"] == "to ben", "{said}");
    for (args, expected) in [
        (&["dlq", "show", "mail", &id][..], "to ann"),
        (&["dlq", "replay", "mail", &id], "1 replayed"),
        (&["dlq", "purge", "mail", "--all"], "1 taken out"),
        (&["dlq", "list"], "There are no dead letters."),
    ] {
        let (done, said) = ran(&nats, folder, "tidings-operator", args)?;
        ensure!(done && said.contains(expected), "{args:?}: {said}");
    }
    ensure!(!nats.log().contains("Violation"), "{}", nats.log());

    // With the user of a process: what it lacks, by name, and soon.
    let begun = std::time::Instant::now();
    let (done, said) = ran(&nats, folder, "tidings-edge", &["streams", "--set", "roles=edge"])?;
    for right in ["'$JS.API.INFO'", "'$JS.API.STREAM.NAMES'", "'$JS.API.CONSUMER.LIST.tidings_EVENTS'"] {
        ensure!(!done && said.contains(&format!("this user may not publish to {right}")), "{right}: {said}");
    }
    ensure!(said.contains("tidings_NOTES") && !said.contains("does not answer"), "{said}");
    let (done, said) = ran(&nats, folder, "tidings-edge", &["streams", "apply", "--set", "roles=edge"])?;
    ensure!(!done && said.contains("this user may not publish to '$JS.API.STREAM.NAMES'"), "{said}");
    let (done, said) =
        ran(&nats, folder, "tidings-edge", &["dlq", "purge", "mail", "--all", "--set", "roles=edge"])?;
    ensure!(done, "there is nothing to take out: {said}");
    let (done, said) =
        ran(&nats, folder, "tidings-edge", &["dlq", "replay", "mail", "1", "--set", "roles=edge"])?;
    ensure!(!done && said.contains("no dead letter 1"), "{said}");
    give_up(&nats).await?;
    let (done, said) =
        ran(&nats, folder, "tidings-edge", &["dlq", "purge", "mail", "--all", "--set", "roles=edge"])?;
    ensure!(!done && said.contains("this user may not publish to 'dlq.mail'"), "{said}");
    ensure!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    Ok(())
}
