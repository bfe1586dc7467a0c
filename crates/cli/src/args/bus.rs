//! The command line of what looks after messaging: dead letters, streams, checks, a cluster to try things on.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, Subcommand};

use super::{ConfigArgs, sources};
use crate::config::Sources;

/// What `tidings dlq` is for.
pub const DLQ: &str = "\
A message that a work queue's workers could not do, however often they were given it, becomes a dead letter: it is kept
for 7 days with its history, and waits for somebody to look at it.

Examples:
  tidings dlq list                            every queue with dead letters: how many, since when
  tidings dlq list mail --reason timeout      those of 'mail' that ended in a timeout
  tidings dlq show mail 4711                  one of them, with every attempt
  tidings dlq replay mail 4711                its message goes back into the queue; then the letter goes
  tidings dlq replay mail --reason timeout --per-second 5
  tidings dlq export mail > mail.jsonl        as lines of JSON, which 'import' reads
  tidings dlq purge mail --until 3d           those that are older than three days, for good

A replay is marked by the headers Tidings-Replay-Of and Tidings-Replay-Id. One that is begun twice is stored once.
Where a server runs on the data folder the command reaches it through its socket; with --nats (or 'nats.servers') it
goes to the cluster itself.";

/// Which messaging, and how to print.
#[derive(Args)]
pub struct BusArgs {
    /// Folder that everything is kept in [default: tidings-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// File with settings [default: tidings.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Server of the NATS cluster to use; may be repeated
    #[arg(long, value_name = "URL")]
    nats: Vec<String>,
    /// Any setting, as in --set subject_prefix=mine; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl BusArgs {
    /// These flags with the environment of the process.
    pub fn sources(&self) -> Sources {
        let nats = (!self.nats.is_empty()).then(|| self.nats.join(","));
        let flags = [("data", "--data", &self.data), ("nats.servers", "--nats", &nats)];
        let given = |(key, flag, value): (_, _, &Option<String>)| Some((key, flag, value.clone()?));
        sources(self.config.clone(), flags.into_iter().filter_map(given).collect(), self.set.clone())
    }
}

/// Which letters.
#[derive(Args, Clone)]
pub struct FilterArgs {
    /// Those whose reason, or an error below it, holds this text, whatever the case
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Those that died since then: 90s, 15m, 24h or 7d ago, or a time as in 2026-11-20T10:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// Those that died before then
    #[arg(long, value_name = "WHEN")]
    pub until: Option<String>,
}

/// Letters by their numbers, or by what they are.
#[derive(Args)]
pub struct ChosenArgs {
    /// The queue, as in 'mail'
    pub queue: String,
    /// Numbers of letters
    #[arg(
        required_unless_present_any = ["all", "reason", "since", "until"],
        conflicts_with_all = ["all", "reason", "since", "until"]
    )]
    pub ids: Vec<u64>,
    /// All there are now
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub bus: BusArgs,
}

/// What can be done with dead letters.
#[derive(Subcommand)]
pub enum DlqVerb {
    /// List the queues with dead letters, or the letters of one
    List {
        /// The queue, as in 'mail'; none: every queue, how many, since when
        queue: Option<String>,
        #[command(flatten)]
        filter: FilterArgs,
        /// Those after this letter: where the page before ended
        #[arg(long, value_name = "ID", default_value_t = 0)]
        after: u64,
        /// How many [default: 20; at most 100]
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        #[command(flatten)]
        bus: BusArgs,
    },
    /// Show one letter: why, each attempt, its headers and payload
    Show {
        /// The queue
        queue: String,
        /// The letter's number
        id: u64,
        #[command(flatten)]
        bus: BusArgs,
    },
    /// Put messages back into their queue; each letter goes once its message is stored
    Replay {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// How many a second
        #[arg(long, value_name = "N", default_value_t = tidings_service::dead_letters::REPLAYS_PER_SECOND,
            value_parser = clap::value_parser!(u32).range(1..=1_000))]
        per_second: u32,
    },
    /// Print letters as lines of JSON
    Export {
        /// The queue
        queue: String,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        bus: BusArgs,
    },
    /// Store letters of an export; those that are there already are left out, so that it can be repeated
    Import {
        /// The queue
        queue: String,
        /// The file; '-' is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
        #[command(flatten)]
        bus: BusArgs,
    },
    /// Take letters out, for good
    Purge {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
}

/// What `tidings streams apply` is for.
const APPLY: &str = "\
A server that starts makes the streams and buckets that are missing, and refuses to run where one has another form than its
settings declare: it changes nothing. This command does, after 'nats.replicas' was set to another number or a newer version
declares another form. Servers that run go on meanwhile; those that start from then on need the new settings. Name the copies
that the streams are to have (--set nats.replicas=3, or in the file): fewer than there are is refused unless it is meant.

Examples:
  tidings streams apply --dry-run --set nats.replicas=3     what would be done
  tidings streams apply --set nats.replicas=3               three copies of everything, then waits until they are whole

What would make a stream forget messages is refused, and so is what NATS cannot change; the rest is done. Ends with 1 then.
On a cluster with permissions it needs the user 'operator'; for work queues a user that may change any stream.";

/// What can be done with streams.
#[derive(Subcommand)]
pub enum StreamsVerb {
    /// Make the streams and buckets that are missing, and change those that have another form than declared
    #[command(after_help = APPLY)]
    Apply {
        /// Tell what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Let streams have fewer copies than they have
        #[arg(long)]
        fewer_copies: bool,
        #[command(flatten)]
        bus: BusArgs,
    },
}

/// What is checked.
#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Monitoring port of a NATS server, as in http://127.0.0.1:8222: tells how often it syncs; may be repeated
    #[arg(long, value_name = "URL")]
    pub monitor: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What can be done with a cluster of this machine.
#[derive(Subcommand)]
pub enum ClusterVerb {
    /// Start a NATS cluster on this machine, and stop it with Ctrl-C; for trying things, not for others
    Up {
        /// How many servers: 1, 3 or 5
        #[arg(short = 'n', long = "nodes", value_name = "N", default_value_t = 3,
            value_parser = clap::builder::PossibleValuesParser::new(["1", "3", "5"])
                .map(|text| text.parse::<usize>().unwrap_or(3)))]
        nodes: usize,
        /// Folder of the cluster: its configuration, logs and streams, which are there again at the next start
        #[arg(long, value_name = "DIR", default_value = "tidings-cluster")]
        dir: PathBuf,
        /// The program of the server [default: nats-server on the PATH]
        #[arg(long, value_name = "FILE")]
        nats_server: Option<PathBuf>,
        /// How often the servers sync: always, or a time as in 2m (faster, and a loss of power loses what is younger)
        #[arg(long, value_name = "TIME", default_value = "always", value_parser = sync_interval)]
        sync_interval: String,
        /// Without TLS: the servers listen on this machine's loopback alone
        #[arg(long)]
        plaintext: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `always`, or digits and a unit: what goes into a configuration is nothing else.
fn sync_interval(text: &str) -> Result<String, String> {
    let time = text.strip_suffix(['s', 'm', 'h']).is_some_and(|number| {
        (1..=6).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    if text == "always" || time {
        Ok(text.to_owned())
    } else {
        Err("always, or a time as in 30s or 2m".to_owned())
    }
}
