//! What a host is told when it is built. Every bound has its reason here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_service::subjects::{CALL_PAYLOAD_MAX, ZONE_PAYLOAD_MAX};
use tidings_world::limits::TRAVELLER_BYTES_MAX;

/// Inputs decided together at most: one commit's worth, a few milliseconds.
pub const INPUTS_MAX: usize = 700;
/// Requests that wait for a zone: half a second's worth at 8,000 a second. Beyond it callers are told
/// `resource_exhausted`.
pub const QUEUE_MAX: usize = 4096;
/// Records of one commit at which no further input is decided: below what the bus takes, with room for what a
/// single input may add.
pub const RECORDS_SOFT_MAX: usize = 700;
/// Bytes of effects at which no further input is decided: less than half of what a zone's record may hold, for the same
/// reason.
pub const EFFECTS_SOFT_MAX: usize = 440 * 1024;
/// Bytes of effects that lie with events alone, after the zone's last record: some hundreds of lines of speech. They are in
/// its next record too, so this bounds what a new owner looks for in the rooms' logs.
pub const ALONE_MAX: usize = 64 * 1024;
// Whoever walks out of a zone fits the batch that was not full yet, and the call to the other zone.
const _: () = assert!(ALONE_MAX + EFFECTS_SOFT_MAX + TRAVELLER_BYTES_MAX < ZONE_PAYLOAD_MAX);
const _: () = assert!(TRAVELLER_BYTES_MAX < CALL_PAYLOAD_MAX);
/// Commands whose outcome comes later (a question is asked, the character is on its way): as many as wait.
pub const WAITING_MAX: usize = QUEUE_MAX;
/// How long such a command is waited for: the edge's deadline for a command, and a little.
pub const WAITING_TIME: Duration = Duration::from_secs(20);
/// Questions and moves under way at once for a zone; a question beyond it is answered as failed.
pub const UNDER_WAY_MAX: usize = 1024;
/// Storage writes that wait for a zone's writer; a full queue holds the zone, so that memory does not grow while
/// storage is away.
pub const WRITES_MAX: usize = 4096;
/// Moves remembered by the zone that let the character in: a source asks again within seconds.
pub const MOVES_MAX: usize = 4096;
/// Letters brought to another zone by one request: what it decides with them is one batch.
pub const LETTERS_MAX: usize = 64;
/// How long a move waits for the zone it goes to: longer than a lease lives and a zone takes to load, so that a host
/// that dies is a pause; shorter than an edge waits for a command, so that the player reads that the way is closed.
pub const MOVE_PATIENCE: Duration = Duration::from_secs(13);
/// Records read at once in a replay.
pub const REPLAY_PAGE: usize = 512;

/// The wall clock in Unix milliseconds, handed in so that tests own it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a process hosts zones.
#[derive(Clone)]
pub struct HostConfig {
    /// This host's name in leases and ownership records; unique among processes.
    pub name: String,
    /// The bucket of leases.
    pub lease_bucket: String,
    /// How long a lease lives without being renewed: the pause after a host dies.
    pub lease: Duration,
    /// A commit without an answer for so long has failed: longer than the stream's leader takes to be elected
    /// anew. The zone is loaded again, and whatever became of that commit is found in the log.
    pub commit_deadline: Duration,
    /// How long a move waits for the zone it goes to, before the log is asked.
    pub move_patience: Duration,
    /// A checkpoint is made at least this often while there is anything new.
    pub checkpoint_every: Duration,
    /// And after so many commits.
    pub checkpoint_commits: u64,
    /// Threads of the zones' runtime: two where there are as many cores, so that one zone decides while another does.
    pub threads: usize,
    /// The seed of the zones' randomness.
    pub seed: u64,
    /// The wall clock.
    pub clock: Clock,
}

impl HostConfig {
    /// The defaults, for a host called `name`, with a random seed handed in.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        Self {
            name: name.into(),
            lease_bucket: "leases".into(),
            lease: Duration::from_secs(10),
            commit_deadline: Duration::from_secs(15),
            move_patience: MOVE_PATIENCE,
            checkpoint_every: Duration::from_secs(60),
            checkpoint_commits: 1000,
            threads: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
            seed,
            clock: Arc::new(wall_clock),
        }
    }
}

fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
