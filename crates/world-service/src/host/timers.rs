//! The timers of a zone, by when they are due. The rules decide what they mean.

use std::collections::{BTreeSet, HashMap};

use tidings_world::input::{Millis, Timer};

/// The timers that are set: at most one of each.
#[derive(Default)]
pub struct Timers {
    at: HashMap<Timer, Millis>,
    order: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    /// Sets or moves a timer; `None` ends it.
    pub fn set(&mut self, timer: Timer, at: Option<Millis>) {
        if let Some(earlier) = self.at.remove(&timer) {
            self.order.remove(&(earlier, timer.clone()));
        }
        if let Some(at) = at {
            self.at.insert(timer.clone(), at);
            self.order.insert((at, timer));
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Millis> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first one that is due.
    pub fn take_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_their_order_and_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Beat, Some(30));
        timers.set(Timer::Move("m".into()), Some(10));
        timers.set(Timer::Beat, Some(5));
        timers.set(Timer::Shutdown, Some(7));
        timers.set(Timer::Shutdown, None);
        assert_eq!(timers.next(), Some(5));
        assert_eq!(timers.take_due(4), None);
        assert_eq!(timers.take_due(10), Some(Timer::Beat));
        assert_eq!(timers.take_due(10), Some(Timer::Move("m".into())));
        assert_eq!((timers.take_due(10), timers.next()), (None, None));
    }
}
