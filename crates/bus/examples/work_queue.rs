//! A work queue with handlers: what fails comes again, and ends as a dead letter with its history.
//!
//! `cargo run -p tidings-bus --example work_queue`

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{
    Bus, Class, DeadLetter, Embedded, EmbeddedConfig, Error, Failure, HandlerConfig, Registry, SlowReader,
    TemplateDef, WorkConfig,
};
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Error> {
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default())?, Arc::new(registry()?));
    let queue = bus.registry().subject("mail", &["out"])?;
    let dead = bus.registry().subject("dead", &["out"])?;
    let work = bus.work(&queue, &dead, WorkConfig { deliveries_max: 3, ..WorkConfig::default() })?;
    for letter in ["to Ann", "to nobody", "to Ben, later"] {
        work.enqueue(letter.into(), Vec::new()).await?;
    }
    let stop = CancellationToken::new();
    let enough = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        enough.cancel();
    });
    let config = HandlerConfig { nak_first: Duration::from_millis(20), ..HandlerConfig::default() };
    let handled = work
        .handle(config, stop, |delivery| async move {
            let letter = String::from_utf8_lossy(&delivery.payload).into_owned();
            match (letter.as_str(), delivery.delivery) {
                ("to nobody", _) => Err(Failure::again("no such person today")),
                ("to Ben, later", 1) => Err(Failure::after(Duration::from_millis(5), "he is away")),
                _ => {
                    println!("sent {letter}");
                    Ok(())
                }
            }
        })
        .await?;
    println!("{handled:?}");
    for message in bus.read(&[dead], 0, 10).await? {
        let letter = DeadLetter::decode(&message.payload)?;
        println!("dead: {:?}, {}, {:?}", letter.payload, letter.reason, letter.attempts);
    }
    Ok(())
}

fn registry() -> Result<Registry, Error> {
    let row = |name, template, class| TemplateDef {
        name,
        template,
        class,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Registry::new(
        None,
        vec![row("mail", "mail.{box:slug}", Class::Work), row("dead", "dlq.mail.{box:slug}", Class::Durable)],
    )
}
