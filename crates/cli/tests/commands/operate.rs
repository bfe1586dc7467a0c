//! `tidings streams`, `check` and `cluster up`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tidings_bus::{Append, Bus, ErrorKind, Fence, Followed, From, Nats, NatsConfig, Subject};
use tidings_service::declare_on_nats;
use tidings_service::subjects::registry;
use tidings_test_support::{NatsServer, nats_program, newest_nats};

use crate::harness::Place;

fn named<'a>(found: &'a Value, name: &str) -> &'a Value {
    let streams = found["streams"].as_array().expect("streams");
    streams.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {found}"))
}

fn finding<'a>(found: &'a Value, what: &str) -> &'a Value {
    let findings = found["findings"].as_array().expect("findings");
    findings.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("no {what}: {found}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_shown_and_never_changed() -> Result<()> {
    let server = NatsServer::start(newest_nats())?;
    let place = Place::new();
    let at = ["--nats", &server.url(), "--json"];
    let before = place.run(&[&["streams"][..], &at].concat()).ends(0).json();
    assert_eq!(named(&before, "tidings_EVENTS")["found"], Value::Null, "looking makes nothing");
    let config = declare_on_nats(NatsConfig::default().server(server.url()));
    Nats::connect(config, Arc::new(registry(None)?)).await?;
    let found = place.run(&[&["streams"][..], &at].concat()).ends(0).json();
    for name in ["tidings_EVENTS", "tidings_NOTES", "KV_tidings_sessions"] {
        let one = named(&found, name);
        assert_eq!(
            (&one["found"]["replicas"], &one["differences"]),
            (&1.into(), &Value::Array(Vec::new())),
            "{one}"
        );
    }
    let other = place.run(&[&["streams", "--set", "nats.replicas=3"][..], &at].concat()).ends(1).json();
    let differences = named(&other, "tidings_EVENTS")["differences"].to_string();
    assert!(differences.contains("num_replicas is 1, declared is 3"), "{differences}");
    let again = place.run(&[&["streams"][..], &at].concat()).ends(0).json();
    assert_eq!(named(&again, "tidings_EVENTS")["found"]["replicas"], 1, "it is as it was");
    Ok(())
}

async fn ask(client: &async_nats::Client, subject: &str, question: &Value) -> Result<Value> {
    let answer = client.request(format!("$JS.API.{subject}"), question.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    anyhow::ensure!(answer["error"].is_null(), "{subject}: {answer}");
    Ok(answer)
}

fn change<'a>(applied: &'a Value, name: &str) -> &'a Value {
    &named(applied, name)["change"]
}

/// What is missing is made, what differs is changed, what would forget messages or cannot be changed is left alone and
/// told; beforehand on paper.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_brought_to_their_form() -> Result<()> {
    let server = NatsServer::start(newest_nats())?;
    let place = Place::new();
    let url = server.url();
    let apply = |more: &[&str]| place.run(&[&["streams", "apply", "--nats", &url, "--json"], more].concat());
    let paper = apply(&["--dry-run"]).ends(0).json();
    assert_eq!(change(&paper, "tidings_EVENTS"), "make");
    let shown = place.run(&["streams", "--nats", &url, "--json"]).ends(0).json();
    assert_eq!(named(&shown, "tidings_EVENTS")["found"], Value::Null, "on paper alone");
    let made = apply(&[]).ends(0).json();
    assert_eq!(
        (change(&made, "tidings_EVENTS"), change(&made, "KV_tidings_leases")),
        (&"make".into(), &"make".into())
    );
    assert_eq!(change(&apply(&[]).ends(0).json(), "tidings_EVENTS"), "none");
    // A server starts on what was made, and finds nothing to complain of.
    let config = declare_on_nats(NatsConfig::default().server(&url));
    let registry = Arc::new(registry(None)?);
    let bus = Bus::new(Nats::connect(config, registry.clone()).await?, registry);
    let quay = bus.registry().subject("world.log", &["lantern"])?;
    let kept = bus.commit(vec![Append { subject: quay.clone(), payload: Bytes::new() }], Vec::new()).await?;
    // Somebody has changed what is declared, and added what is not.
    let client = async_nats::connect(&url).await?;
    let mut form = ask(&client, "STREAM.INFO.tidings_EVENTS", &json!({})).await?["config"].take();
    (form["discard"], form["description"]) = ("old".into(), "ours".into());
    ask(&client, "STREAM.UPDATE.tidings_EVENTS", &form).await?;
    // A bucket in another form, which could be changed only by forgetting what is there.
    ask(&client, "STREAM.DELETE.KV_tidings_tickets", &json!({})).await?;
    let subjects = ["$KV.tidings_tickets.>"];
    let other = json!({"name": "KV_tidings_tickets", "subjects": subjects, "max_msgs_per_subject": 5, "num_replicas": 1});
    ask(&client, "STREAM.CREATE.KV_tidings_tickets", &other).await?;
    client.request("$KV.tidings_tickets.a", "1".into()).await?;
    let applied = apply(&[]).ends(1).json();
    assert_eq!(change(&applied, "tidings_EVENTS"), "change");
    let refused = named(&applied, "KV_tidings_tickets");
    assert_eq!(refused["change"], "refused");
    assert!(
        refused["error"].as_str().is_some_and(|why| why.contains("max_msgs_per_subject would be 1")),
        "{refused}"
    );
    let form = ask(&client, "STREAM.INFO.tidings_EVENTS", &json!({})).await?["config"].take();
    assert_eq!((&form["discard"], &form["description"]), (&"new".into(), &"ours".into()));
    assert_eq!(bus.last(&quay).await?.map(|last| last.seq), Some(kept.last), "nothing is lost");
    let told = place.run(&["streams", "apply", "--nats", &url]).ends(1);
    assert!(told.out.contains("KV_tidings_tickets") && told.out.contains("left as it is"), "{}", told.out);
    assert!(told.err.contains("it would forget messages"), "{}", told.err);
    assert!(place.run(&["streams", "apply", "--data", "data"]).ends(1).err.contains("in the process"));
    Ok(())
}

/// What an owner confirmed: it commits under a fence, by turns one message, several at once each by itself, and several as
/// one.
async fn own(bus: Bus, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> Result<Vec<u64>> {
    let log = bus.registry().subject("world.log", &["lantern"])?;
    let owner = bus.registry().subject("zone.owner", &["town"])?;
    let one = |subject: &Subject| Append { subject: subject.clone(), payload: Bytes::new() };
    let seq = bus.commit(vec![one(&owner)], Vec::new()).await?.last;
    let fences = || vec![Fence { subject: owner.clone(), seq }];
    let mut confirmed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let several = || (0..4).map(|_| one(&log)).collect::<Vec<_>>();
        let stored = match confirmed.len() % 3 {
            0 => bus.commit(vec![one(&log)], fences()).await.map(|stored| stored.seqs().collect()),
            1 => bus.commit(several(), fences()).await.map(|stored| stored.seqs().collect()),
            _ => bus.commit_each(several(), fences()).await,
        };
        match stored {
            Ok(seqs) => confirmed.extend(seqs),
            Err(error) => anyhow::ensure!(error.kind() != ErrorKind::Fenced, "nobody took it: {error}"),
        }
        count.store(confirmed.len(), Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(confirmed)
}

/// One copy of everything becomes three while an owner commits and others follow, and nothing that was confirmed is lost,
/// though the server that led dies then. Back to one only who says so.
#[tokio::test(flavor = "multi_thread")]
async fn one_copy_becomes_three_under_load() -> Result<()> {
    let mut servers = NatsServer::cluster(newest_nats(), 3)?;
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    let place = Place::new();
    let mut config = declare_on_nats(NatsConfig::default());
    config.servers = urls.clone();
    let registry = Arc::new(registry(None)?);
    let connect = async || -> Result<Bus> {
        Ok(Bus::new(Nats::connect(config.clone(), registry.clone()).await?, registry.clone()))
    };
    let (bus, reader) = (connect().await?, connect().await?);
    let log = bus.registry().subject("world.log", &["lantern"])?;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn(own(bus.clone(), stop.clone(), count.clone()));
    let (told, until, followed) = (reader.clone(), stop.clone(), log.clone());
    let follow = tokio::spawn(async move {
        let (mut told, mut heard) = (told.follow(&followed, From::After(0)), Vec::new());
        loop {
            match tokio::time::timeout(Duration::from_secs(3), told.next()).await {
                Ok(Ok(Followed::Message(message))) => heard.push(message.seq),
                Ok(other) => anyhow::bail!("no message: {other:?}"),
                Err(_) if until.load(Ordering::Relaxed) => return Ok(heard),
                Err(_) => {}
            }
        }
    });
    let all = urls.join(",");
    let apply = |more: &[&str]| place.run(&[&["streams", "apply", "--nats", &all, "--json"], more].concat());
    let three = ["--set", "nats.replicas=3"];
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = count.load(Ordering::Relaxed);
    let paper = apply(&[&three[..], &["--dry-run"]].concat()).ends(0).json();
    assert_eq!(change(&paper, "tidings_EVENTS"), "change");
    let applied = apply(&three).ends(0).json();
    assert_eq!((change(&applied, "tidings_EVENTS"), &applied["behind"]), (&"change".into(), &json!([])));
    let during = count.load(Ordering::Relaxed);
    let shown = place.run(&[&["streams", "--nats", &all, "--json"], &three[..]].concat()).ends(0).json();
    let leader = named(&shown, "tidings_EVENTS")["found"]["leader"].as_str().context("a leader")?.to_owned();
    let led = servers.iter().position(|server| server.name() == leader).context("one of the three")?;
    servers[led].kill()?;
    tokio::time::sleep(Duration::from_secs(14)).await;
    stop.store(true, Ordering::Relaxed);
    let (confirmed, heard) = (load.await??, follow.await??);
    println!("confirmed {before}, then {during}, then {} in all", confirmed.len());
    assert!(before > 0 && during > before && confirmed.len() > during, "it goes on all the time");
    // Read by somebody who knows nothing of before.
    let (fresh, mut found, mut after) = (connect_three(&urls).await?, Vec::new(), 0);
    loop {
        let page = fresh.read(std::slice::from_ref(&log), after, 1_000).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        found.extend(page.iter().map(|message| message.seq));
    }
    for (who, seqs) in [("stored", &found), ("told", &heard)] {
        assert!(seqs.is_sorted_by(|one, next| one < next), "{who}: each once, in order");
        let lost: Vec<_> = confirmed.iter().filter(|seq| seqs.binary_search(seq).is_err()).collect();
        assert!(lost.is_empty(), "{who}: {lost:?} of {}", confirmed.len());
    }
    servers[led].restart()?;
    // For some seconds they are busy with each other.
    let until = Instant::now() + Duration::from_secs(40);
    let mut refused = apply(&[]);
    while !refused.out.contains("it would have 1 copies, and has 3") && Instant::now() < until {
        refused = apply(&[]);
    }
    let refused = refused.ends(1).json();
    let why = named(&refused, "tidings_EVENTS")["error"].as_str().context("why")?;
    assert!(why.contains("it would have 1 copies, and has 3"), "{why}");
    apply(&["--fewer-copies"]).ends(0);
    let shown = place.run(&["streams", "--nats", &all, "--json"]).ends(0).json();
    assert_eq!(named(&shown, "tidings_EVENTS")["found"]["replicas"], 1);
    Ok(())
}

async fn connect_three(urls: &[String]) -> Result<Bus> {
    let mut config = declare_on_nats(NatsConfig { replicas: 3, ..NatsConfig::default() });
    config.servers = urls.to_vec();
    let registry = Arc::new(registry(None)?);
    Ok(Bus::new(Nats::connect(config, registry.clone()).await?, registry))
}

#[test]
fn without_a_cluster_the_logs_are_shown() {
    let place = Place::new();
    std::fs::create_dir(place.data()).expect("a folder");
    let shown = place.run(&["streams", "--data", "data"]).ends(0).out;
    assert!(shown.contains("room.{room:place}.log") && shown.contains("sessions"), "{shown}");
}

#[test]
fn a_machine_is_checked() {
    let place = Place::new();
    let run = |more: &[&str]| place.run(&[&["check", "--data", "data", "--json"], more].concat());
    let found = run(&["--listen", "127.0.0.1:0"]).ends(0).json();
    for what in ["configuration", "data folder", "port", "stored"] {
        assert_eq!(finding(&found, what)["verdict"], "ok", "{found}");
    }
    assert!(finding(&found, "disk sync")["found"].as_str().is_some_and(|text| text.contains(" ms")));
    assert!(!place.data().exists(), "a check leaves nothing behind");
    assert_eq!(std::fs::read_dir(place.path()).expect("the folder").count(), 0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let found = run(&["--listen", &address]).ends(1).json();
    let port = finding(&found, "port");
    assert_eq!((&port["verdict"], &port["advice"]), (&"fail".into(), &"choose another with --listen".into()));
    let away = run(&["--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1"]).ends(1).json();
    assert_eq!(finding(&away, "nats server")["verdict"], "fail");
    assert!(place.run(&["check", "--set", "limits.brst=1"]).ends(2).err.contains("limits.burst"));
}

/// Three servers are started, found to be whole, refused a second time over the same folder, ended, and found again.
#[test]
fn a_cluster_runs_until_it_is_told_to_end() -> Result<()> {
    let place = Place::new();
    let program = nats_program(newest_nats());
    let program = program.to_str().context("a path")?;
    let up = ["cluster", "up", "-n", "3", "--dir", "mine", "--nats-server", program];
    let mut ports = Vec::new();
    // With certificates, and then without.
    for round in 0..2 {
        let more = ["--json", "--plaintext"];
        let mut child = place.command(&[&up[..], &more[..=round]].concat()).stdout(Stdio::piped()).spawn()?;
        let mut told = String::new();
        let mut out = BufReader::new(child.stdout.take().context("its output")?);
        while !told.ends_with("\n}\n") && out.read_line(&mut told)? > 0 {}
        let told: Value = serde_json::from_str(&told).with_context(|| {
            let mut text = String::new();
            let _ = child.kill();
            let _ = child.stderr.take().map(|mut err| err.read_to_string(&mut text));
            text
        })?;
        let list = |name: &str| -> Vec<String> {
            let all = told[name].as_array().into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let servers = list("servers");
        assert_eq!(servers.len(), 3);
        let port = |server: &String| server.rsplit(':').next().map(str::to_owned);
        ports.push(servers.iter().map(port).collect::<Vec<_>>());
        let again = place.run(&up).ends(1);
        assert!(again.err.contains("runs in") && again.err.contains("already"), "{again:?}");
        if round == 0 {
            let nats = servers.join(",");
            let settings = told["settings"].as_object().context("settings")?;
            let set: Vec<String> = settings
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            let mut args = vec!["check", "--listen", "127.0.0.1:0", "--nats", &nats, "--json"];
            set.iter().for_each(|one| args.extend(["--set", one]));
            let monitors = list("monitors");
            monitors.iter().for_each(|one| args.extend(["--monitor", one]));
            let found = place.run(&args).ends(0).json();
            for what in ["nats server", "jetstream", "copies", "stored"] {
                assert_eq!(finding(&found, what)["verdict"], "ok", "{found}");
            }
            assert!(finding(&found, "stored")["found"].as_str().is_some_and(|text| text.contains("2 of 3")));
            let held = |one: &Value| {
                one["what"] == "certificate"
                    && one["found"].as_str().is_some_and(|text| text.contains("127.0.0.1:"))
            };
            let held = found["findings"].as_array().context("findings")?.iter().filter(|one| held(one));
            assert_eq!(held.count(), 3, "each server's: {found}");
        }
        // Ctrl-C, and a terminal that is closed: either way nothing is left running.
        kill_process(Pid::from_child(&child), [Signal::INT, Signal::HUP][round])?;
        assert!(child.wait()?.success());
        for server in &servers {
            let address = server.split("://").nth(1).context("an address")?;
            assert!(std::net::TcpStream::connect(address).is_err(), "{server} still runs");
        }
    }
    assert_eq!(ports[0], ports[1], "a cluster is found where it was");
    let other =
        place.run(&["cluster", "up", "-n", "5", "--plaintext", "--dir", "mine", "--nats-server", program]);
    assert!(other.ends(1).err.contains("-n 3"));
    Ok(())
}

/// Five servers, and a start that ends those of one that was killed.
#[test]
fn what_a_killed_cluster_left_is_ended_by_the_next() -> Result<()> {
    let place = Place::new();
    let program = nats_program(newest_nats());
    let program = program.to_str().context("a path")?;
    let up = ["cluster", "up", "-n", "5", "--dir", "mine", "--plaintext", "--json", "--nats-server", program];
    let start = || -> Result<(std::process::Child, Value)> {
        let mut child = place.command(&up).stdout(Stdio::piped()).spawn()?;
        let mut told = String::new();
        let mut out = BufReader::new(child.stdout.take().context("its output")?);
        while !told.ends_with("\n}\n") && out.read_line(&mut told)? > 0 {}
        Ok((child, serde_json::from_str(&told)?))
    };
    let number = |n: usize| std::fs::read_to_string(place.path().join(format!("mine/n{n}.pid")));
    let runs = |number: &String| {
        std::fs::read(format!("/proc/{}/cmdline", number.trim())).is_ok_and(|line| !line.is_empty())
    };
    let (mut killed, first) = start()?;
    let before: Vec<_> = (1..=5).map(number).collect::<Result<_, _>>()?;
    killed.kill()?;
    killed.wait()?;
    assert!(before.iter().all(runs), "its servers run on");
    let (mut child, second) = start()?;
    let after: Vec<_> = (1..=5).map(number).collect::<Result<_, _>>()?;
    assert_eq!(first["servers"], second["servers"], "where they were");
    assert!(before.iter().all(|number| !after.contains(number)), "{before:?} and {after:?}");
    kill_process(Pid::from_child(&child), Signal::INT)?;
    assert!(child.wait()?.success());
    for number in before.iter().chain(&after) {
        assert!(!runs(number), "{number} still runs");
    }
    Ok(())
}

#[test]
fn a_cluster_starts_over_nothing_of_anybody_elses() {
    let place = Place::new();
    let program = nats_program(newest_nats());
    let program = program.to_str().expect("a path");
    place.write("theirs/letter.txt", "dear ann");
    let ran =
        place.run(&["cluster", "up", "--plaintext", "--dir", "theirs", "--nats-server", program]).ends(1);
    assert!(ran.err.contains("is no cluster's folder"), "{ran:?}");
    assert_eq!(std::fs::read_dir(place.path().join("theirs")).expect("the folder").count(), 1);
    let old = place.write("old-nats", "#!/bin/sh\necho 'nats-server: v2.10.25'\n");
    let mode = Command::new("chmod").arg("+x").arg(&old).status().expect("chmod");
    assert!(mode.success());
    let ran =
        place.run(&["cluster", "up", "--plaintext", "--nats-server", old.to_str().expect("a path")]).ends(1);
    assert!(ran.err.contains("2.12 or later"), "{ran:?}");
    place.run(&["cluster", "up", "--plaintext", "-n", "2"]).ends(2);
    place.run(&["cluster", "up", "--plaintext", "--sync-interval", "x }"]).ends(2);
}
