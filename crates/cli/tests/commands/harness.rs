//! Running the binary in a folder of its own, with nothing of this environment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to open its socket: a loaded machine, a debug build.
const START_WAIT: Duration = Duration::from_secs(30);

/// A folder to run in, with a data folder inside.
pub struct Place {
    folder: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args).spawn().expect("the binary"))
    }

    /// The same with this on its standard input.
    pub fn run_with(&self, input: &str, args: &[&str]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that refuses at once may end before it reads.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        finish(child)
    }

    /// A `user` command on this place's data folder.
    pub fn user(&self, args: &[&str]) -> Ran {
        self.run(&user_args(args))
    }

    pub fn user_with(&self, input: &str, args: &[&str]) -> Ran {
        self.run_with(input, &user_args(args))
    }

    /// Starts a server on the data folder and waits for its control socket.
    pub fn serve(&self, more: &[&str]) -> Server {
        let args = [&["serve", "--listen", "127.0.0.1:0", "--data", "data", "--set", "log.level=warn"], more]
            .concat();
        let mut command = self.command(&args);
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("the binary");
        let mut server = Server { child };
        let until = Instant::now() + START_WAIT;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(server.child.try_wait().expect("a child").is_none(), "the server ended");
            assert!(Instant::now() < until, "the server did not open its socket");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.data().join("control.sock")
    }
}

fn user_args<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["user"], args, &["--data", "data"]].concat()
}

fn finish(child: Child) -> Ran {
    let output = child.wait_with_output().expect("an end");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Without a goodbye.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("an end");
    }

    /// Asks it to stop and waits; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let stopped = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().expect("kill");
        assert!(stopped.success());
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
