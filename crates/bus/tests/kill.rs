//! A real process, really killed: what it printed as acknowledged is there, and no commit is there in part.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tidings_bus::{Bus, Class, Embedded, EmbeddedConfig, Registry, SlowReader, TemplateDef};

/// The example that appends for ever, built beside this test.
fn appender() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples").join("durable_log");
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap();
        let built =
            Command::new(cargo).args(["build", "-p", "tidings-bus", "--example", "durable_log"]).status();
        assert!(built.unwrap().success());
    }
    path
}

fn registry() -> Arc<Registry> {
    let row = TemplateDef {
        name: "log",
        template: "room.{room:slug}.log",
        class: Class::Durable,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Arc::new(Registry::new(None, vec![row]).unwrap())
}

/// Lets it acknowledge some, kills it without warning, and gives the last acknowledged batch and sequence.
fn run_and_kill(folder: &std::path::Path, acknowledgements: usize) -> (u64, u64) {
    let mut child = Command::new(appender()).arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = (0, 0);
    for (count, line) in lines.map_while(Result::ok).enumerate() {
        let Some((batch, seq)) = line.split_once(' ') else { break };
        let (Ok(batch), Ok(seq)) = (batch.parse(), seq.parse()) else { break };
        last = (batch, seq);
        if count == acknowledgements {
            // SIGKILL; what it printed meanwhile is read on.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    last
}

#[tokio::test]
async fn killed_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut epoch = None;
    let mut before = 0;
    for round in 0..3 {
        let (batch, seq) = run_and_kill(folder.path(), 20 + round * 30);
        assert!(seq > before, "it went on where it was");
        let config = EmbeddedConfig { data: Some(folder.path().to_owned()), ..EmbeddedConfig::default() };
        let backend = Embedded::open(config).unwrap();
        assert!(backend.recovery().damaged.is_empty() && !backend.recovery().behind);
        let bus = Bus::new(backend.clone(), registry());
        assert_eq!(*epoch.get_or_insert(bus.epoch()), bus.epoch());
        let log = bus.registry().subject("log", &["quay"]).unwrap();
        let found = bus.read(&[log], before, usize::MAX).await.unwrap();
        let texts: Vec<_> =
            found.iter().map(|one| String::from_utf8(one.payload.to_vec()).unwrap()).collect();
        let whole = texts.len() as u64 / 2;
        assert!(whole >= batch, "{whole} of {batch} acknowledged commits are there");
        let expected: Vec<_> =
            (1..=whole).flat_map(|batch| [format!("{batch}/1"), format!("{batch}/2")]).collect();
        assert_eq!(texts, expected, "whole, in order, once");
        before = found.last().unwrap().seq;
    }
}
