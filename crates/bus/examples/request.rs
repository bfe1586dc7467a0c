//! A request served by a queue group, behind a deadline, a circuit breaker and one layer of retries.
//!
//! On NATS every request goes this way by itself. `Guard` is also there for whatever else a service asks.
//!
//! `cargo run -p tidings-bus --example request`
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::resilience::{BreakerConfig, Guard, Repeats, RetryConfig, Target};
use tidings_bus::{
    Bus, Class, Embedded, EmbeddedConfig, Error, ErrorKind, Pattern, Registry, SlowReader, Subject,
    Subscription, TemplateDef,
};

const DEADLINE: Duration = Duration::from_secs(1);

fn registry() -> Result<Registry, Error> {
    let shout = TemplateDef {
        name: "shout",
        template: "svc.shout",
        class: Class::Request,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Registry::new(None, vec![shout])
}

/// Asks once, or again where nobody can have received it; a destination that keeps failing is left alone.
async fn ask(bus: &Bus, guard: &Guard, shout: &Subject) -> Result<Bytes, Error> {
    let one_try = |left| bus.request(shout, Bytes::from("ahoy"), Vec::new(), left);
    guard.run(shout.as_str(), Target::Service, Repeats::UnlessReceived, DEADLINE, one_try).await
}

async fn serve(mut requests: Subscription) {
    while let Some(message) = requests.next().await {
        let answer = String::from_utf8_lossy(&message.payload).to_uppercase();
        // The asker may have given up: nothing to do about that here.
        let _ = message.respond(Bytes::from(answer));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default())?, Arc::new(registry()?));
    let shout = bus.registry().subject("shout", &[])?;
    // Shorter than the defaults, so that the example is.
    let retry = RetryConfig { first: Duration::from_millis(5), attempts: 2, ..RetryConfig::default() };
    let breaker = BreakerConfig { open_first: Duration::from_millis(100), ..BreakerConfig::default() };
    let guard = Guard::new(retry, breaker);

    // Nobody serves it: after five failures in a row the circuit opens, and says when to try again.
    let open = loop {
        match ask(&bus, &guard, &shout).await {
            Err(error) if error.kind() == ErrorKind::CircuitOpen => break error,
            Err(error) => println!("{error}"),
            Ok(_) => unreachable!("nobody serves it"),
        }
    };
    println!("{open}");

    let requests = bus.queue_subscribe(&Pattern::from(&shout), "shouters", 64).await?;
    let serving = tokio::spawn(serve(requests));
    tokio::time::sleep(open.retry_after().unwrap_or_default()).await;
    // The circuit lets one through at a time now, and closes by itself after two that succeed.
    for _ in 0..2 {
        println!("{}", String::from_utf8_lossy(&ask(&bus, &guard, &shout).await?));
    }
    println!("circuits: {:?}", guard.breakers().list(std::time::Instant::now()));
    println!("given up at the end: {:?}", bus.drain(DEADLINE).await);
    // The subscription has ended with the bus.
    let _ = serving.await;
    Ok(())
}
