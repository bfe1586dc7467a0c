//! Many small messages in few calls: in order by subject, and on disk where they cannot be sent.
//!
//! `cargo run -p tidings-bus --example batches`

use std::sync::Arc;
use std::time::Duration;

use tidings_bus::{Bus, Class, Embedded, EmbeddedConfig, Error, Registry, SlowReader, TemplateDef};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example shows what it does")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::new(Embedded::open(EmbeddedConfig::default())?, Arc::new(registry()?));
    let folder = std::env::temp_dir().join(format!("tidings-batches-{}", std::process::id()));
    let batcher = bus.batcher(&folder).await?;
    for reading in 0..250 {
        for sensor in ["north", "south"] {
            let subject = bus.registry().subject("readings", &[sensor])?;
            // Taken, and not sent yet: by number, bytes or time it goes with others.
            batcher.push(&subject, reading.to_string().into())?;
        }
    }
    println!("flushed: {:?}", batcher.flush().await);
    let north = bus.registry().subject("readings", &["north"])?;
    println!("stored: {} of north", bus.read(&[north], 0, 1_000).await?.len());
    println!("closed: {:?}", batcher.close(Duration::from_secs(5)).await);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn registry() -> Result<Registry, Error> {
    let readings = TemplateDef {
        name: "readings",
        template: "sensor.{sensor:slug}.readings",
        class: Class::Durable,
        message: "text",
        max_payload: 1_024,
        slow: SlowReader::Refuse,
        check: None,
        wide: None,
    };
    Registry::new(None, vec![readings])
}
