//! What goes wrong, and in which order: a pure function of the seed.

use std::fmt;
use std::time::Duration;

/// Servers of the cluster.
pub const SERVERS: usize = 3;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a server that does not lead the logs, and back.
    KillNode,
    /// SIGKILL of the one that does, and back.
    KillLeader,
    /// SIGSTOP of a server that does not lead, and SIGCONT.
    FreezeNode,
    /// SIGSTOP of the leader, and SIGCONT: what waits in its sockets is old by then.
    FreezeLeader,
    /// A server killed, and back with an empty store.
    Wiped,
    /// All servers killed, and back.
    AllStopped,
    /// The leader told to go (SIGUSR2), and back.
    LameDuck,
    /// A server that the others do not reach; its clients do.
    PartNode,
    /// The leader that the others do not reach; its clients do.
    PartLeader,
    /// A server whose clients' sockets stay open and carry nothing.
    StalledSockets,
    /// A server whose clients are told that it says no more, while they can go on talking.
    HalfClosed,
    /// A server whose clients' sockets are closed.
    CutSockets,
    /// All clients' bytes late.
    Late,
    /// The stream of logs, dead letters among them, takes no more.
    Full,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 14] = [
        Self::KillNode,
        Self::KillLeader,
        Self::FreezeNode,
        Self::FreezeLeader,
        Self::Wiped,
        Self::AllStopped,
        Self::LameDuck,
        Self::PartNode,
        Self::PartLeader,
        Self::StalledSockets,
        Self::HalfClosed,
        Self::CutSockets,
        Self::Late,
        Self::Full,
    ];
    /// Those that are over soon: what a short run is made of.
    pub const SOON_OVER: [Self; 7] = [
        Self::KillNode,
        Self::KillLeader,
        Self::FreezeNode,
        Self::HalfClosed,
        Self::CutSockets,
        Self::Late,
        Self::Full,
    ];

    /// Whether it happens to the server that leads the logs, whatever the step says.
    pub fn is_of_leader(self) -> bool {
        matches!(self, Self::KillLeader | Self::FreezeLeader | Self::LameDuck | Self::PartLeader)
    }

    /// How long it lasts, at least and at most, in milliseconds.
    fn hold_ms(self) -> (u64, u64) {
        match self {
            Self::KillNode | Self::KillLeader => (200, 4_000),
            Self::FreezeNode | Self::FreezeLeader => (1_000, 8_000),
            Self::Wiped | Self::HalfClosed | Self::CutSockets | Self::LameDuck => (200, 3_000),
            Self::AllStopped => (1_000, 60_000),
            Self::PartNode | Self::PartLeader => (2_000, 20_000),
            Self::StalledSockets => (2_000, 12_000),
            Self::Late | Self::Full => (1_000, 6_000),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillNode => "a server killed",
            Self::KillLeader => "the leader killed",
            Self::FreezeNode => "a server frozen",
            Self::FreezeLeader => "the leader frozen",
            Self::Wiped => "a server killed and its store wiped",
            Self::AllStopped => "all servers killed",
            Self::LameDuck => "the leader told to go",
            Self::PartNode => "a server parted from the others",
            Self::PartLeader => "the leader parted from the others",
            Self::StalledSockets => "a server's sockets stalled",
            Self::HalfClosed => "a server's sockets half closed",
            Self::CutSockets => "a server's sockets cut",
            Self::Late => "everything late",
            Self::Full => "the logs full",
        })
    }
}

/// A fault with its place and its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// How long all is well before.
    pub wait: Duration,
    /// What goes wrong.
    pub fault: Fault,
    /// Which server: the first from here on that it can happen to.
    pub node: usize,
    /// How long it lasts.
    pub hold: Duration,
}

/// Steps without end: every fault once, in an order drawn from the seed, then every one again in another.
pub struct Plan {
    random: Random,
    of: &'static [Fault],
    deck: Vec<Fault>,
    hold_most: Duration,
}

impl Plan {
    /// The plan of a seed, of these faults, none of which lasts longer than `hold_most`.
    pub fn new(seed: u64, of: &'static [Fault], hold_most: Duration) -> Self {
        Self { random: Random(seed), of, deck: Vec::new(), hold_most }
    }

    fn deal(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck = self.of.to_vec();
            for last in (1..self.deck.len()).rev() {
                let other = self.random.below(last as u64 + 1) as usize;
                self.deck.swap(last, other);
            }
        }
        self.deck.pop().expect("there are faults")
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let fault = self.deal();
        let (least, most) = fault.hold_ms();
        let hold = Duration::from_millis(least + self.random.below(most - least + 1));
        let wait = Duration::from_millis(200 + self.random.below(1_500));
        let node = self.random.below(SERVERS as u64) as usize;
        Some(Step { wait, fault, node, hold: hold.min(self.hold_most) })
    }
}

/// SplitMix64: the same numbers for a seed in every version of everything.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[test]
fn a_seed_is_a_plan() {
    let steps = |seed| Plan::new(seed, &Fault::ALL, Duration::from_secs(60)).take(60).collect::<Vec<_>>();
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
    for deck in steps(7)[..4 * Fault::ALL.len()].chunks(Fault::ALL.len()) {
        let mut dealt: Vec<Fault> = deck.iter().map(|step| step.fault).collect();
        dealt.sort_unstable();
        assert_eq!(dealt, Fault::ALL, "each once before any again");
    }
    assert!(steps(9).iter().all(|step| step.node < SERVERS && step.hold <= Duration::from_secs(60)));
}
