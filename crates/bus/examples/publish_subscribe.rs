//! Publish and subscribe: everyone who listens hears it, and of a queue group one.
//!
//! `cargo run -p tidings-bus --example publish_subscribe`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, Check, Class, Embedded, EmbeddedConfig, Error, Registry, SlowReader, TemplateDef};

/// Where news is told: what is no text never leaves the publisher, and of a reader who is slow the oldest are dropped.
fn registry() -> Result<Registry, Error> {
    let news = TemplateDef {
        name: "news",
        template: "news.{about:token}",
        class: Class::Ephemeral,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::DropOldest,
        check: Some(Check::new(|payload| {
            std::str::from_utf8(payload).map(drop).map_err(|error| error.to_string())
        })),
        wide: None,
    };
    Registry::new(None, vec![news])
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default())?, Arc::new(registry()?));
    let every = bus.registry().pattern("news", &[None])?;
    let mut reader = bus.subscribe(&every, 64).await?;
    let mut printers = [
        bus.queue_subscribe(&every, "printers", 64).await?,
        bus.queue_subscribe(&every, "printers", 64).await?,
    ];

    // What anybody types may be a parameter: it cannot reach another subject.
    let about = bus.registry().subject("news", &["the tide (high *)"])?;
    for news in ["It turns at six.", "It has turned."] {
        bus.publish(&about, Bytes::from(news), Vec::new()).await?;
        if let Some(message) = reader.next().await {
            println!("{}: {}", message.subject, String::from_utf8_lossy(&message.payload));
        }
    }
    for (number, printer) in printers.iter_mut().enumerate() {
        let mut heard = 0;
        while printer.try_next().is_some() {
            heard += 1;
        }
        println!("printer {number} heard {heard}");
    }
    let refused = bus.publish(&about, Bytes::from_static(&[0xff]), Vec::new()).await;
    println!("refused: {}", refused.expect_err("it is no text"));
    println!("given up at the end: {:?}", bus.drain(Duration::from_secs(1)).await);
    Ok(())
}
