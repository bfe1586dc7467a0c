//! `tidings cluster up`: real NATS servers on this machine, as one cluster with JetStream, in a folder of their own.
//!
//! The ports are chosen at the first start and kept, so that a cluster is found again where it was. The servers are
//! this process's children: they are told to end when it is, and killed where they do not. Those that it could not end,
//! since it was killed itself, are ended by the next start.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::streams::inspect;
use super::{certs, cluster_left};
use crate::args::bus::ClusterVerb;
use crate::config::{Config, Sources};
use crate::{Outcome, output};

/// Says that a folder is a cluster's, and which ports it has.
const MARK: &str = "cluster.json";
/// How long the servers may take to find each other and choose who leads.
const START_WAIT: Duration = Duration::from_secs(60);
/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long they may take to end.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// The oldest server that has what the bus needs.
const SERVER_MIN: (u32, u32) = (2, 12);
/// Bytes of a server's log that are shown when it ends too early.
const LOG_SHOWN: usize = 600;

/// A cluster as it is kept in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    nodes: Vec<Node>,
}

/// The ports of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    client: u16,
    route: u16,
    monitor: u16,
}

/// What is started.
struct Plan<'a> {
    dir: PathBuf,
    mark: Mark,
    /// Where certificates are; none: plaintext.
    certs: Option<PathBuf>,
    sync_interval: &'a str,
}

impl Plan<'_> {
    /// Where a server's configuration is.
    fn configuration(&self, place: usize) -> PathBuf {
        self.dir.join(format!("{}.conf", name(place)))
    }

    fn urls(&self) -> Vec<String> {
        let scheme = if self.certs.is_some() { "tls" } else { "nats" };
        self.mark.nodes.iter().map(|node| format!("{scheme}://127.0.0.1:{}", node.client)).collect()
    }

    /// What a process has to be told beside the servers.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let replicas = self.mark.nodes.len().min(3);
        let mut settings = vec![("nats.replicas", replicas.to_string())];
        if let Some(certs) = &self.certs {
            let files = [
                ("nats.ca_file", "ca.pem"),
                ("nats.cert_file", "client.pem"),
                ("nats.key_file", "client-key.pem"),
            ];
            settings.extend(files.map(|(key, file)| (key, certs.join(file).display().to_string())));
        }
        settings
    }
}

/// Does it.
pub fn run(verb: &ClusterVerb) -> Result<Outcome> {
    let ClusterVerb::Up { nodes, dir, nats_server, sync_interval, plaintext, json } = verb;
    let program = program(nats_server.as_deref())?;
    check_version(&program)?;
    let (dir, _lock) = folder(dir)?;
    let mark = mark(&dir, *nodes)?;
    let certs = (!plaintext).then(|| dir.join("certs"));
    if let Some(certs) = &certs {
        certs::for_this_machine(certs, "tidings-cluster")?;
    }
    let plan = Plan { dir, mark, certs, sync_interval };
    let configurations: Vec<_> = (0..plan.mark.nodes.len()).map(|place| plan.configuration(place)).collect();
    cluster_left::end(&configurations, STOP_WAIT)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        // Heard from the first moment on: what is started is also ended.
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let told = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        tokio::pin!(told);
        let mut servers = Servers::start(&program, &plan)?;
        let began = tokio::select! {
            () = &mut told => return Ok(Outcome::Done),
            began = servers.until_ready(&plan) => began,
        };
        began?;
        tell(&plan, *json);
        tokio::select! {
            () = told => {}
            failed = servers.until_one_ends() => return Err(failed),
        }
        output::complain("Stopping the servers; what they keep stays in the folder.");
        servers.stop().await;
        Ok(Outcome::Done)
    })
}

fn program(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    found.context("there is no 'nats-server' on the PATH; --nats-server names one (https://nats.io/download)")
}

fn check_version(program: &Path) -> Result<()> {
    let ran = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let ran = ran.with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let version = text.trim().rsplit(['v', ' ']).next().unwrap_or_default();
    let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < SERVER_MIN {
        let (shown, (major, minor)) = (program.display(), SERVER_MIN);
        bail!("{shown} is '{}': {major}.{minor} or later is needed", text.trim());
    }
    Ok(())
}

/// The folder, made or found to be a cluster's, and held.
fn folder(dir: &Path) -> Result<(PathBuf, File)> {
    let shown = || format!("the cluster's folder {}", dir.display());
    if dir.is_dir() && !dir.join(MARK).is_file() && dir.read_dir().with_context(shown)?.next().is_some() {
        bail!("{} is no cluster's folder and is not empty: --dir names another", dir.display());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(shown)?;
    let dir = dir.canonicalize().with_context(shown)?;
    // What stands in a configuration between quotes.
    if dir.to_str().is_none_or(|text| text.contains(['"', '\\', '\n'])) {
        bail!("{}: a cluster's folder has no quotes, backslashes or odd letters in its path", dir.display());
    }
    let mut options = OpenOptions::new();
    let lock = options.write(true).create(true).truncate(false).mode(0o600).open(dir.join("lock"));
    let lock = lock.with_context(shown)?;
    if lock.try_lock().is_err() {
        bail!("a cluster runs in {} already", dir.display());
    }
    Ok((dir, lock))
}

fn mark(dir: &Path, nodes: usize) -> Result<Mark> {
    let path = dir.join(MARK);
    if path.is_file() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mark: Mark = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        if mark.nodes.len() != nodes {
            let (shown, count) = (dir.display(), mark.nodes.len());
            bail!(
                "the cluster in {shown} has {count} servers: start it with -n {count}, or another one with --dir"
            );
        }
        return Ok(mark);
    }
    // Held all together, so that no two are the same.
    let held =
        (0..nodes * 3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    let ports =
        held.iter().map(|held| Ok(held.local_addr()?.port())).collect::<std::io::Result<Vec<u16>>>()?;
    let node = |three: &[u16]| Node { client: three[0], route: three[1], monitor: three[2] };
    let mark = Mark { nodes: ports.chunks_exact(3).map(node).collect() };
    std::fs::write(&path, serde_json::to_vec_pretty(&mark)?).with_context(|| path.display().to_string())?;
    Ok(mark)
}

fn name(place: usize) -> String {
    format!("n{}", place + 1)
}

/// The configuration of one server.
fn configuration(plan: &Plan<'_>, place: usize) -> String {
    let Node { client, route, monitor } = plan.mark.nodes[place];
    let (name, dir, sync_interval) = (name(place), plan.dir.display(), plan.sync_interval);
    let tls = plan.certs.as_ref().map_or_else(String::new, |certs| {
        let certs = certs.display();
        format!(
            "tls {{ cert_file: \"{certs}/server.pem\", key_file: \"{certs}/server-key.pem\", \
             ca_file: \"{certs}/ca.pem\", verify: true }}\n"
        )
    });
    let cluster = if plan.mark.nodes.len() == 1 {
        String::new()
    } else {
        let routes: Vec<String> =
            plan.mark.nodes.iter().map(|node| format!("nats://127.0.0.1:{}", node.route)).collect();
        format!(
            "cluster {{\n  name: tidings\n  listen: \"127.0.0.1:{route}\"\n  routes: [{}]\n  \
             ping_interval: \"5s\"\n  {tls}}}\n",
            routes.join(", ")
        )
    };
    format!(
        "# Made by 'tidings cluster up' at each start.\nserver_name: {name}\nlisten: \"127.0.0.1:{client}\"\n\
         http: \"127.0.0.1:{monitor}\"\nlog_file: \"{dir}/{name}.log\"\n\
         pid_file: \"{dir}/{name}.pid\"\n{tls}\
         jetstream {{\n  store_dir: \"{dir}/{name}\"\n  sync_interval: {sync_interval}\n}}\n{cluster}"
    )
}

/// The servers, which end with this.
struct Servers {
    dir: PathBuf,
    children: Vec<Child>,
}

impl Servers {
    fn start(program: &Path, plan: &Plan<'_>) -> Result<Self> {
        let (dir, mark) = (plan.dir.as_path(), &plan.mark);
        let mut servers = Self { dir: dir.to_owned(), children: Vec::new() };
        for place in 0..mark.nodes.len() {
            let path = plan.configuration(place);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(configuration(plan, place).as_bytes())?;
            let output = File::create(dir.join(format!("{}.out", name(place))))?;
            let mut command = Command::new(program);
            command.arg("-c").arg(&path).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
            // Ctrl-C is for this process, which ends them in order.
            let child = command.process_group(0).spawn().with_context(|| program.display().to_string())?;
            servers.children.push(child);
        }
        Ok(servers)
    }

    fn check_running(&mut self) -> Result<()> {
        for (place, child) in self.children.iter_mut().enumerate() {
            if let Some(status) = child.try_wait()? {
                let name = name(place);
                let read = |end: &str| {
                    std::fs::read_to_string(self.dir.join(format!("{name}.{end}"))).unwrap_or_default()
                };
                let text = read("out") + &read("log");
                let end = text.floor_char_boundary(text.len().saturating_sub(LOG_SHOWN));
                bail!("the server {name} ended with {status}: {}", text[end..].trim());
            }
        }
        Ok(())
    }

    /// Every server answers, and JetStream has somebody who leads.
    async fn until_ready(&mut self, plan: &Plan<'_>) -> Result<()> {
        let begun = Instant::now();
        let mut left = plan.urls();
        let set: Vec<String> = plan.settings().iter().map(|(key, value)| format!("{key}={value}")).collect();
        while let Some(url) = left.last() {
            self.check_running()?;
            let flags = vec![("nats.servers", "--nats", url.clone())];
            let sources = Sources { file: None, environment: BTreeMap::new(), flags, set: set.clone() };
            let config = Config::read(&sources).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
            match inspect(&config, None).await {
                Ok(found) if found.server.jetstream_error.is_none() => {
                    left.pop();
                }
                Ok(_) | Err(_) if begun.elapsed() < START_WAIT => tokio::time::sleep(LOOK_EVERY).await,
                Ok(found) => bail!("no leader in time: {}", found.server.jetstream_error.unwrap_or_default()),
                Err(error) => return Err(error).context("the servers did not start in time"),
            }
        }
        Ok(())
    }

    async fn until_one_ends(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.check_running() {
                return error;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn stop(&mut self) {
        for child in &self.children {
            // One that has ended already was told enough.
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        let begun = Instant::now();
        while begun.elapsed() < STOP_WAIT
            && self.children.iter_mut().any(|child| matches!(child.try_wait(), Ok(None)))
        {
            tokio::time::sleep(LOOK_EVERY / 4).await;
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn tell(plan: &Plan<'_>, as_json: bool) {
    let monitors: Vec<String> =
        plan.mark.nodes.iter().map(|node| format!("http://127.0.0.1:{}", node.monitor)).collect();
    let settings = plan.settings();
    if as_json {
        let settings: serde_json::Map<_, _> =
            settings.into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
        let told = json!({
            "servers": plan.urls(), "monitors": monitors, "dir": plan.dir, "settings": settings,
        });
        return output::json(&told);
    }
    let set: Vec<String> = settings.iter().map(|(key, value)| format!("--set '{key}={value}'")).collect();
    let at = format!("--nats {} {}", plan.urls().join(","), set.join(" "));
    let monitors: Vec<String> = monitors.iter().map(|one| format!("--monitor {one}")).collect();
    output::say(&format!(
        "{} NATS servers run in {}; Ctrl-C ends them.",
        plan.mark.nodes.len(),
        plan.dir.display()
    ));
    output::say(&format!("  tidings serve {at}"));
    output::say(&format!("  tidings check {at} {}", monitors.join(" ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_knows_the_others() {
        let node = |base| Node { client: base, route: base + 1, monitor: base + 2 };
        let dir = PathBuf::from("/d");
        let mark = Mark { nodes: vec![node(10), node(20), node(30)] };
        let three = Plan { certs: Some(dir.join("certs")), dir, mark, sync_interval: "always" };
        let text = configuration(&three, 1);
        for part in [
            "server_name: n2\n",
            "listen: \"127.0.0.1:20\"",
            "store_dir: \"/d/n2\"",
            "sync_interval: always",
            "routes: [nats://127.0.0.1:11, nats://127.0.0.1:21, nats://127.0.0.1:31]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(
            text.matches("cert_file: \"/d/certs/server.pem\"").count(),
            2,
            "clients and routes: {text}"
        );
        let mark = Mark { nodes: vec![node(10)] };
        let one = configuration(&Plan { dir: "/d".into(), mark, certs: None, sync_interval: "2m" }, 0);
        assert!(
            !one.contains("cluster {") && !one.contains("tls") && one.contains("sync_interval: 2m"),
            "{one}"
        );
    }
}
