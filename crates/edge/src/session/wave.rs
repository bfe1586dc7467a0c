//! Waves of those who join. A crowd costs the services, the log and the disk less the more of it comes at once: so
//! whoever comes while others are on their way into the world waits until they are in, and goes with all who came
//! meanwhile, step by step. Who comes alone waits for nobody.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Notify;

/// Longest wait for others: a call that hangs holds nobody up for longer at a step. A wave of 256 is in by then.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// The wave that is on its way.
#[derive(Debug, Default)]
pub struct Waves {
    /// How many are in it.
    members: Cell<usize>,
    /// How many of them have come half way.
    half_way: Cell<usize>,
    /// Told when all have.
    onward: Notify,
    /// Told when the wave is over.
    over: Notify,
}

/// A place in a wave; dropped, its holder is in, or does not come.
#[derive(Debug)]
pub struct Place<'a> {
    waves: &'a Waves,
    half_way: bool,
}

impl Waves {
    /// Joins those who go next: at once, where nobody is on the way.
    pub async fn join(&self) -> Place<'_> {
        self.until_over().await;
        self.members.set(self.members.get() + 1);
        Place { waves: self, half_way: false }
    }

    async fn until_over(&self) {
        if self.members.get() > 0 {
            let _ = tokio::time::timeout(WAIT_MAX, self.over.notified()).await;
        }
    }

    fn all_half_way(&self) -> bool {
        self.half_way.get() == self.members.get()
    }
}

impl Place<'_> {
    /// Half way: goes on with the others.
    pub async fn go_on(&mut self) {
        let waves = self.waves;
        self.half_way = true;
        waves.half_way.set(waves.half_way.get() + 1);
        if waves.all_half_way() {
            waves.onward.notify_waiters();
        } else {
            let _ = tokio::time::timeout(WAIT_MAX, waves.onward.notified()).await;
        }
    }

    /// In: what follows is done with the others too.
    pub async fn arrive(self) {
        let waves = self.waves;
        drop(self);
        waves.until_over().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waves = self.waves;
        waves.members.set(waves.members.get() - 1);
        waves.half_way.set(waves.half_way.get() - usize::from(self.half_way));
        if waves.members.get() == 0 {
            waves.over.notify_waiters();
        } else if waves.all_half_way() {
            waves.onward.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_meanwhile_goes_next_and_together() {
        let waves = Waves::default();
        let mut first = waves.join().now_or_never().expect("nobody is on the way");
        let (mut second, mut third) = (pin!(waves.join()), pin!(waves.join()));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(first.go_on().now_or_never().is_some(), "it is alone");
        assert!((&mut second).now_or_never().is_none(), "the first is not in");
        assert!(first.arrive().now_or_never().is_some(), "it was alone");
        let mut second = second.now_or_never().expect("its turn");
        let mut third = third.now_or_never().expect("with the second");
        let mut half_way = Box::pin(second.go_on());
        assert!((&mut half_way).now_or_never().is_none(), "the third is behind");
        assert!(third.go_on().now_or_never().is_some());
        assert!(half_way.as_mut().now_or_never().is_some());
        drop(half_way);
        let mut arrived = pin!(second.arrive());
        assert!((&mut arrived).now_or_never().is_none(), "the third is behind");
        drop(third);
        assert!(arrived.now_or_never().is_some());
        assert!(waves.join().now_or_never().is_some(), "nobody is on the way");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_come_is_not_waited_for() {
        let waves = Waves::default();
        let first = waves.join().await;
        let (mut one, mut other) = (pin!(waves.join()), pin!(waves.join()));
        assert!((&mut one).now_or_never().is_none() && (&mut other).now_or_never().is_none());
        drop(first);
        let mut one = one.now_or_never().expect("their turn");
        let other = other.now_or_never().expect("their turn");
        let mut half_way = Box::pin(one.go_on());
        assert!((&mut half_way).now_or_never().is_none());
        drop(other);
        assert!(half_way.as_mut().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_holds_nobody_up_for_long() {
        let waves = Waves::default();
        let begun = tokio::time::Instant::now();
        let hangs = waves.join().await;
        let mut place = waves.join().await;
        place.go_on().await;
        place.arrive().await;
        assert_eq!(begun.elapsed(), WAIT_MAX * 3);
        drop(hangs);
        assert!(waves.join().now_or_never().is_some());
    }
}
