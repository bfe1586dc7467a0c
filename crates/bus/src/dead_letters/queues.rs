//! Every queue's dead letters: of a system whose queues and logs of dead letters are named by the same parameters.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::DeadLetters;
use crate::bus::Bus;
use crate::error::Error;

/// Queues whose letters are remembered between calls; of more, what is known is read again.
const REMEMBERED_MAX: usize = 256;

/// The dead letters of every queue. Cheap to clone.
#[derive(Clone)]
pub struct DeadLetterQueues {
    bus: Bus,
    queue: &'static str,
    dead: &'static str,
    known: Arc<Mutex<HashMap<String, DeadLetters>>>,
}

impl DeadLetterQueues {
    /// Queues of the template `queue`, their letters in logs of the template `dead` with the same parameters.
    pub fn new(bus: Bus, queue: &'static str, dead: &'static str) -> Self {
        Self { bus, queue, dead, known: Arc::default() }
    }

    /// The bus they are on.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Those of one queue, which need not have any.
    pub fn of(&self, parameters: &[&str]) -> Result<DeadLetters, Error> {
        let registry = self.bus.registry();
        let (queue, dead) =
            (registry.subject(self.queue, parameters)?, registry.subject(self.dead, parameters)?);
        let mut known = self.known.lock();
        if let Some(letters) = known.get(queue.as_str()) {
            return Ok(letters.clone());
        }
        let letters = self.bus.dead_letters(&queue, &dead)?;
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(queue.as_str().to_owned(), letters.clone());
        Ok(letters)
    }

    /// Every queue that has, or had, letters; by its parameters.
    pub async fn all(&self) -> Result<Vec<(Vec<String>, DeadLetters)>, Error> {
        let registry = self.bus.registry();
        let mut all = Vec::new();
        for log in self.bus.logs(&registry.pattern_of(self.dead)?).await? {
            let (_, parameters) = registry.parse(log.as_str())?;
            let borrowed: Vec<&str> = parameters.iter().map(String::as_str).collect();
            let letters = self.of(&borrowed)?;
            all.push((parameters, letters));
        }
        Ok(all)
    }

    /// Tells the metrics of every queue: those that have letters, and those that were known to.
    pub async fn measure(&self) -> Result<(), Error> {
        self.all().await?;
        let known: Vec<DeadLetters> = self.known.lock().values().cloned().collect();
        for letters in known {
            letters.measure().await?;
        }
        Ok(())
    }
}
