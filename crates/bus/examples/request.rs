//! Publish and subscribe, and a request served by a queue group.
//!
//! ```text
//! cargo run -p tidings-bus --example request
//! ```
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{
    Bus, Check, Class, Embedded, EmbeddedConfig, Error, Pattern, Registry, SlowReader, TemplateDef,
};

fn row(name: &'static str, template: &'static str, class: Class) -> TemplateDef {
    TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::DropOldest,
        check: Some(Check::new(|payload| {
            std::str::from_utf8(payload).map(drop).map_err(|error| error.to_string())
        })),
        wide: None,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let registry = Registry::new(
        None,
        vec![row("news", "news.{about:token}", Class::Ephemeral), row("shout", "svc.shout", Class::Request)],
    )?;
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default())?, Arc::new(registry));

    let every = bus.registry().pattern("news", &[None])?;
    let mut reader = bus.subscribe(&every, 64).await?;
    let about = bus.registry().subject("news", &["the tide (high *)"])?;
    bus.publish(&about, Bytes::from("It turns at six."), Vec::new()).await?;
    if let Some(message) = reader.next().await {
        println!("{}: {}", message.subject, String::from_utf8_lossy(&message.payload));
    }

    let shout = bus.registry().subject("shout", &[])?;
    let mut server = bus.queue_subscribe(&Pattern::from(&shout), "shouters", 64).await?;
    let serving = tokio::spawn(async move {
        while let Some(message) = server.next().await {
            let answer = String::from_utf8_lossy(&message.payload).to_uppercase();
            // The asker may have given up: nothing to do about that here.
            let _ = message.respond(Bytes::from(answer));
        }
    });
    let answer = bus.request(&shout, Bytes::from("ahoy"), Vec::new(), Duration::from_secs(1)).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    println!("given up at the end: {:?}", bus.drain(Duration::from_secs(1)).await);
    // The subscription has ended with the bus.
    let _ = serving.await;
    Ok(())
}
