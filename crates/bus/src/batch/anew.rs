//! When a connection is made anew: the moment to try again what is on disk.
//!
//! Who watches a state is told of the newest. A pool that lost all its members and has one of them again goes on from
//! connected to degraded at once, so that the moves between have to be looked at.

use crate::resilience::{State, States, Transition, Watching};

/// Waits for a connection to be made anew.
pub(super) struct Anew {
    states: States,
    watching: Watching,
    /// The number of the first move that was not looked at.
    next: u64,
}

fn is_up(state: State) -> bool {
    matches!(state, State::Connected | State::Degraded)
}

impl Anew {
    pub(super) fn new(states: States) -> Self {
        let watching = states.watch();
        let next = states.history().last().map_or(0, |(_, newest)| newest.number + 1);
        Self { states, watching, next }
    }

    /// Waits until it is; `None`: the connection is gone. Cancel safe. A connection that was made and lost again counts, and
    /// so does one that several moves made: what is tried for it is tried once.
    pub(super) async fn next(&mut self) -> Option<()> {
        loop {
            self.watching.next().await?;
            let moves = self.states.history();
            let is_made = |one: &Transition| one.number >= self.next && !is_up(one.from) && is_up(one.to);
            let made = moves.iter().any(|(_, one)| is_made(one));
            self.next = moves.last().map_or(self.next, |(_, newest)| newest.number + 1);
            if made {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::resilience::Move;

    #[tokio::test]
    async fn told_once_for_each_time_and_for_nothing_else() {
        use Move::{Connect, Established, Falter, Lost, Opened, Recover};
        let states = States::new();
        let mut anew = Anew::new(states.clone());
        let steps: [(&[Move], bool); 8] = [
            (&[Connect], false),
            (&[Established], true),
            (&[Falter], false),
            (&[Recover], false),
            (&[Lost], false),
            (&[Established, Falter], true),
            (&[Lost, Established, Falter], true),
            (&[Lost, Opened], false),
        ];
        for (moves, expected) in steps {
            for by in moves {
                states.make(*by).unwrap();
            }
            assert_eq!(anew.next().now_or_never().is_some(), expected, "{moves:?}");
            assert!(anew.next().now_or_never().is_none(), "once");
        }
        // What was before is no news.
        states.make(Established).unwrap();
        assert!(Anew::new(states).next().now_or_never().is_none());
    }
}
