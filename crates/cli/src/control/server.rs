//! The serving side of the control socket.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{REQUEST_BYTES_MAX, Request, Response, SOCKET, Verbs};
use crate::data::DataFolder;

/// Connections served at once; more wait in the backlog. People type these commands.
const CONNECTIONS_MAX: usize = 8;
/// Connections that wait.
const BACKLOG: i32 = 32;
/// How long a connection may be silent, and how long an answer may take to be read.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Longest path of a socket that the system takes, with some to spare.
const SOCKET_PATH_MAX: usize = 100;
/// The pause after a connection could not be taken: the process may be out of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// The control socket of a running server, served until it is closed.
pub struct Control {
    stop: CancellationToken,
    tasks: TaskTracker,
    socket: PathBuf,
}

impl Control {
    /// Opens the socket in the folder, in place of one that a killed server left, and serves it on this runtime.
    pub fn start(folder: &DataFolder, verbs: Verbs) -> io::Result<Self> {
        let socket = folder.path().join(SOCKET);
        // The folder's lock is held: nobody serves the socket that is there.
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = listen(folder.path())?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, Arc::new(verbs), stop.clone(), tasks.clone()));
        tasks.close();
        Ok(Self { stop, tasks, socket })
    }

    /// Takes no more, waits for what is under way until the deadline.
    pub async fn close(self, deadline: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("commands on the control socket did not end in time");
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.cancel();
        // A socket that nobody serves only makes the next command look twice.
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Calls with the socket's path. One too long for the system is reached through the folder's descriptor.
pub fn at_socket<T>(folder: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(SOCKET);
    if path.as_os_str().as_bytes().len() <= SOCKET_PATH_MAX {
        return call(&path);
    }
    let open = std::fs::File::open(folder)?;
    call(Path::new(&format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd())))
}

/// The mode is set before anybody can connect.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    at_socket(folder, |path| {
        socket.bind(&SockAddr::unix(path)?)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
    })?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket)))
}

async fn accept(listener: UnixListener, verbs: Arc<Verbs>, stop: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let (verbs, stop) = (Arc::clone(&verbs), stop.clone());
                tasks.spawn(async move {
                    let _place = place;
                    // What goes wrong with a connection ends it; the command that asked says so.
                    let _ = converse(stream, &verbs, &stop).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Answers line by line until the other side ends, is silent, or the server stops.
async fn converse(stream: UnixStream, verbs: &Verbs, stop: &CancellationToken) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(REQUEST_BYTES_MAX as u64 + 1);
        let reading = tokio::time::timeout(SILENCE_MAX, bounded.read_until(b'\n', &mut line));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            done = reading => { done??; }
        }
        if line.is_empty() {
            return Ok(());
        }
        let response = answer(&line, verbs).await;
        let mut text = serde_json::to_vec(&response)?;
        text.push(b'\n');
        tokio::time::timeout(SILENCE_MAX, write.write_all(&text)).await??;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

async fn answer(line: &[u8], verbs: &Verbs) -> Response {
    if line.len() > REQUEST_BYTES_MAX {
        return Response::Failed { message: format!("a request is longer than {REQUEST_BYTES_MAX} bytes") };
    }
    match serde_json::from_slice::<Request>(line) {
        Ok(request) => verbs.run(request).await,
        // The error may quote a password: where and what kind is enough.
        Err(error) => {
            Response::Failed { message: format!("the request cannot be read (column {})", error.column()) }
        }
    }
}
