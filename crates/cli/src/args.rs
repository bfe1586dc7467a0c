//! The command line: what can be typed, and the help that teaches it.

pub mod bus;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Sources;

const EXAMPLES: &str = "\
Examples:
  tidings                                     a world on this machine; it prints its address
  tidings serve --world worlds/mine           the same with a world of your own
  tidings world check worlds/mine             every mistake in it, by file and line
  tidings user add ann --role admin           an account that may do everything
  tidings config                              what is in force, and where each value came from
  tidings certs --out certs --name mine --host 10.0.0.1,10.0.0.2
                                              certificates for a NATS cluster of your own
  tidings subjects --permissions              what its users may do, for nats-server's configuration
  tidings check                               whether all of that can run here
  tidings dlq list                            what work queues could not do
  tidings serve --nats nats://10.0.0.1 --roles zone,services
  tidings serve --nats nats://10.0.0.1 --roles edge --listen 0.0.0.0:4000
                                              one world in several processes, on a NATS cluster

Exit codes: 0 done, 1 failed, 2 wrong use.
While a server runs on a data folder, every command reaches it through the socket inside the folder.";

const SETTINGS: &str = "\
Every setting can be given, later ones winning, in a file (--config, or tidings.toml in this folder), in the environment
(limits.burst is TIDINGS_LIMITS_BURST), by its flag, and by --set. 'tidings config' lists them.";

/// A real-time server for shared worlds.
#[derive(Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Without a command: serve.
    #[command(flatten)]
    pub serve: ConfigArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Verb {
    /// Run a world and serve it to browsers and clients
    #[command(after_help = SETTINGS)]
    Serve(ConfigArgs),
    /// Make, list and change accounts
    #[command(subcommand)]
    User(UserVerb),
    /// Check a world's text files
    #[command(subcommand)]
    World(WorldVerb),
    /// Print what is in force and where each value came from
    #[command(after_help = SETTINGS)]
    Config(ShowArgs),
    /// Look at what work queues could not do, put it back, take it out
    #[command(subcommand, after_help = bus::DLQ)]
    Dlq(bus::DlqVerb),
    /// Show the streams, buckets and consumers that are declared beside what stands, or bring them to that form
    #[command(args_conflicts_with_subcommands = true)]
    Streams {
        #[command(flatten)]
        bus: bus::BusArgs,
        #[command(subcommand)]
        verb: Option<bus::StreamsVerb>,
    },
    /// Check whether this configuration can run here: what is wrong, and what to do
    #[command(after_help = SETTINGS)]
    Check(bus::CheckArgs),
    /// Run a NATS cluster on this machine
    #[command(subcommand)]
    Cluster(bus::ClusterVerb),
    /// List who went over a limit of the running server, the newest first
    Violations(FolderArgs),
    /// Make an authority and the certificates of a NATS cluster
    Certs(CertsArgs),
    /// List every subject that messages go by, or print what each role may do on NATS
    Subjects(SubjectsArgs),
}

/// Which certificates to make, and where.
#[derive(Args)]
pub struct CertsArgs {
    /// Folder to write them to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What the cluster is called
    #[arg(long, value_name = "NAME", conflicts_with = "renew")]
    pub name: Option<String>,
    /// Host or address by which the servers are reached; may be repeated, or hold several with commas
    /// [default: this machine's own: localhost, 127.0.0.1, ::1]
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// How long they hold; the authority holds ten years [default: 365]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=3_650))]
    pub days: Option<i64>,
    /// Make new ones of the authority in the folder, for the same hosts
    #[arg(long)]
    pub renew: bool,
    /// Replace what is in the folder, the authority too: nothing it vouched for is trusted any more
    #[arg(long, conflicts_with = "renew")]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl CertsArgs {
    /// How long certificates hold where nobody says.
    pub const DAYS: i64 = 365;
}

/// What to print of the subjects.
#[derive(Args)]
pub struct SubjectsArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print a part of nats-server's configuration: a user for each kind of process, with what it may send and hear
    #[arg(long)]
    pub permissions: bool,
    /// Put these users into an account of their own, with JetStream, apart from all else on the cluster
    #[arg(long, value_name = "NAME", requires = "permissions", value_parser = account_name)]
    pub account: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What goes into a configuration is a plain name.
fn account_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if begins && text.len() <= 64 && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("a letter, then letters, digits, - and _, 64 at most".to_owned())
    }
}

/// Where the configuration comes from.
#[derive(Args, Default)]
pub struct ConfigArgs {
    /// Address and port to serve on [default: 127.0.0.1:4000; port 0: any free one]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Folder that everything is kept in [default: tidings-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// File with settings [default: tidings.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// development, or production, which refuses what is not safe [default: development]
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Folder of the world [default: the world that comes with Tidings]
    #[arg(long, value_name = "DIR")]
    world: Option<String>,
    /// Server of the NATS cluster to use, as in nats://10.0.0.1:4222; may be repeated, or hold several with commas
    /// [default: none, messaging in the process]
    #[arg(long, value_name = "URL")]
    nats: Vec<String>,
    /// Database to use (not in this version)
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What this process does, of edge, zone, services, with commas; on NATS [default: all]
    #[arg(long, value_name = "LIST")]
    roles: Option<String>,
    /// Any setting, as in --set limits.say_per_minute=30; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// These flags with the environment of the process.
    pub fn sources(&self) -> Sources {
        let nats = (!self.nats.is_empty()).then(|| self.nats.join(","));
        let flags = [
            ("listen", "--listen", &self.listen),
            ("data", "--data", &self.data),
            ("profile", "--profile", &self.profile),
            ("world", "--world", &self.world),
            ("nats.servers", "--nats", &nats),
            ("database", "--database", &self.database),
            ("roles", "--roles", &self.roles),
        ];
        let given = |(key, flag, value): (_, _, &Option<String>)| Some((key, flag, value.clone()?));
        sources(self.config.clone(), flags.into_iter().filter_map(given).collect(), self.set.clone())
    }
}

fn sources(
    file: Option<PathBuf>,
    flags: Vec<(&'static str, &'static str, String)>,
    set: Vec<String>,
) -> Sources {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    let ours = |(name, _): &(String, String)| name.starts_with("TIDINGS_");
    Sources { file, environment: std::env::vars_os().filter_map(text).filter(ours).collect(), flags, set }
}

/// Which data folder, and how to print.
#[derive(Args)]
pub struct FolderArgs {
    /// Folder that everything is kept in [default: tidings-data]
    #[arg(long, value_name = "DIR", conflicts_with = "database")]
    data: Option<String>,
    /// Database to use (not in this version)
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with settings [default: tidings.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl FolderArgs {
    /// These flags with the environment of the process.
    pub fn sources(&self) -> Sources {
        let flags = [("data", "--data", &self.data), ("database", "--database", &self.database)];
        let given = |(key, flag, value): (_, _, &Option<String>)| Some((key, flag, value.clone()?));
        sources(self.config.clone(), flags.into_iter().filter_map(given).collect(), Vec::new())
    }
}

/// What an account may do; each may do what those before it may.
#[derive(Clone, Copy, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Walk and talk
    Player,
    /// Go anywhere, hear the staff
    Builder,
    /// Kick, silence, ban, announce
    Moderator,
    /// Stop the server
    Admin,
}

impl From<Role> for tidings_storage::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Player => Self::Player,
            Role::Builder => Self::Builder,
            Role::Moderator => Self::Moderator,
            Role::Admin => Self::Admin,
        }
    }
}

/// What can be done with accounts.
#[derive(Subcommand)]
pub enum UserVerb {
    /// Make an account; without --password-stdin a password is made up and printed once
    Add {
        /// Its name
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value = "player")]
        role: Role,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// List the accounts, guests left out
    List {
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Change what an account may do; its sessions end, so that the change holds at once
    Role {
        /// The account's name
        name: String,
        /// What it may do from now on
        #[arg(value_enum, required_unless_present = "to", conflicts_with = "to")]
        role: Option<Role>,
        /// The same as a flag
        #[arg(long = "role", value_enum, value_name = "ROLE", id = "to")]
        to: Option<Role>,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Change an account's password; its sessions end. Without --password-stdin one is made up and printed once
    Password {
        /// The account's name
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Keep an account out; its sessions end
    Ban {
        /// The account's name
        name: String,
        /// For so many minutes [default: for good]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5_256_000))]
        minutes: Option<u32>,
        /// What they are told
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        /// Let the account in again instead
        #[arg(long, conflicts_with_all = ["minutes", "reason"])]
        lift: bool,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Remove an account with its characters; there is no way back
    Remove {
        /// The account's name
        name: String,
        #[command(flatten)]
        folder: FolderArgs,
    },
}

/// What can be done with worlds.
#[derive(Subcommand)]
pub enum WorldVerb {
    /// Name every mistake in a world's files, by file and line
    Check {
        /// The world's folder, with world.toml in it
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// How the configuration is shown.
#[derive(Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What a new start would use, even where a server runs on the data folder
    #[arg(long)]
    pub local: bool,
}
