//! A durable log: commits fenced by an ownership record, and a reader that misses nothing.
//!
//! ```text
//! cargo run -p tidings-bus --example durable_log
//! cargo run -p tidings-bus --example durable_log -- FOLDER    # appends for ever; prints what is acknowledged
//! ```
#![allow(clippy::print_stdout)]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tidings_bus::{
    Append, Bus, Class, Embedded, EmbeddedConfig, Error, ErrorKind, Fence, Followed, From, Registry,
    Retention, SlowReader, TemplateDef,
};

fn row(name: &'static str, template: &'static str) -> TemplateDef {
    TemplateDef {
        name,
        template,
        class: Class::Durable,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    }
}

fn open(data: Option<PathBuf>) -> Result<Bus, Error> {
    let registry = Registry::new(
        None,
        vec![row("log", "room.{room:slug}.log"), row("owner", "room.{room:slug}.owner")],
    )?;
    let config = EmbeddedConfig { data, ..EmbeddedConfig::default() }.retain("room.*.owner", Retention::LAST);
    Ok(Bus::new(Embedded::open(config)?, Arc::new(registry)))
}

/// Appends until it is killed; every line it prints was stored before. The SIGKILL test runs this.
async fn append_for_ever(folder: PathBuf) -> Result<(), Error> {
    let bus = open(Some(folder))?;
    let log = bus.registry().subject("log", &["quay"])?;
    let mut batch = 0_u64;
    loop {
        batch += 1;
        let part = |part| Append { subject: log.clone(), payload: Bytes::from(format!("{batch}/{part}")) };
        let committed = bus.commit(vec![part(1), part(2)], Vec::new()).await?;
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{batch} {}", committed.last).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if let Some(folder) = std::env::args_os().nth(1) {
        return append_for_ever(folder.into()).await;
    }
    let bus = open(None)?;
    let (log, owner) =
        (bus.registry().subject("log", &["quay"])?, bus.registry().subject("owner", &["quay"])?);
    let mut reader = bus.follow(&log, From::After(0));

    let mine = bus.append(&owner, Bytes::from("ann")).await?;
    let say = |text: &'static str, seq| {
        let batch = vec![Append { subject: log.clone(), payload: Bytes::from(text) }];
        bus.commit(batch, vec![Fence { subject: owner.clone(), seq }])
    };
    say("The lamps are lit.", mine).await?;
    let theirs = bus.append(&owner, Bytes::from("ben")).await?;
    say("A boat comes in.", theirs).await?;
    match say("I was asleep.", mine).await {
        Err(error) if error.kind() == ErrorKind::Fenced => println!("refused: {error}"),
        other => println!("unexpected: {other:?}"),
    }
    for _ in 0..2 {
        if let Followed::Message(message) = reader.next().await? {
            println!(
                "{} (after {}): {}",
                message.seq,
                message.prev,
                String::from_utf8_lossy(&message.payload)
            );
        }
    }
    Ok(())
}
