//! The bus in the process.

pub mod core;
pub mod durable;
pub mod reading;

use std::path::Path;

use anyhow::Result;
use tidings_bus::{Bus, BusConfig, Embedded, EmbeddedConfig, Subject};

use super::registry;

fn bus(data: Option<&Path>, checked: bool) -> Result<Bus> {
    let config = EmbeddedConfig { data: data.map(Path::to_owned), ..EmbeddedConfig::default() };
    let checks = BusConfig { check_outbound: checked, check_inbound: checked, ..BusConfig::default() };
    Ok(Bus::with_config(Embedded::open(config)?, registry()?, checks))
}

fn logs(bus: &Bus, count: usize) -> Result<Vec<Subject>> {
    let log = |room| Ok(bus.registry().subject("room.log", &[&format!("zone_r{room}")])?);
    (0..count).map(log).collect()
}
