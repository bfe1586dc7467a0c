//! A connection to the world: enter, send commands, read what happens, come back where it broke.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use tidings_protocol::Position;
use tidings_protocol::frames::{ClientFrame, Reply, Resume, SUB_PROTOCOL, ServerFrame, State, Welcome, What};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::api::{Api, SignedIn};
use crate::error::Error;

/// How many frames wait while a command's reply is awaited; the oldest are dropped beyond it.
pub const RESUME_WINDOW_EVENTS: usize = 10_000;
/// How long a reply may take: the server's own deadline for a command, and a little.
const REPLY_WAIT: Duration = Duration::from_secs(20);
/// The library's default of 128 KiB costs that much for each connection.
const READ_BUFFER_BYTES: usize = 4096;

/// A WebSocket of a session.
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    address: SocketAddr,
    welcome: Welcome,
    position: Position,
    waiting: VecDeque<ServerFrame>,
    /// Ids of commands are unique in the session, across its connections: the time of this one goes before them.
    opened_at: u128,
    commands: u64,
}

impl Connection {
    /// Enters with a ticket, as a page does. `character` may be left out where the account has one.
    pub async fn enter(api: &Api, session: &SignedIn, character: Option<&str>) -> Result<Self, Error> {
        let hello = ClientFrame::Hello {
            token: None,
            ticket: Some(api.ticket(session).await?),
            csrf: Some(session.csrf_token.clone()),
            character: character.map(str::to_owned),
            resume: None,
        };
        Self::open(api.address(), &hello).await
    }

    /// Goes on with a session that lost its connection.
    pub async fn resume(
        address: SocketAddr,
        secret: &str,
        position: Option<Position>,
    ) -> Result<Self, Error> {
        let resume = Some(Resume { secret: secret.to_owned(), position });
        let hello = ClientFrame::Hello { token: None, ticket: None, csrf: None, character: None, resume };
        Self::open(address, &hello).await
    }

    /// Opens a socket and says `hello`; ends with the `welcome`, or with what came instead.
    pub async fn open(address: SocketAddr, hello: &ClientFrame) -> Result<Self, Error> {
        let mut socket = socket(address, Some(&format!("http://{address}"))).await?;
        send(&mut socket, hello).await?;
        let welcome = match receive(&mut socket).await? {
            ServerFrame::Welcome(welcome) => welcome,
            ServerFrame::Bye(bye) => return Err(Error::Bye(Box::new(bye))),
            ServerFrame::Error(error) => return Err(Error::Refused(Box::new(error))),
            _ => return Err(Error::Closed),
        };
        let position = welcome.position.clone();
        let opened_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Ok(Self { socket, address, welcome, position, waiting: VecDeque::new(), opened_at, commands: 0 })
    }

    /// The `welcome` of this connection.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// How far this client was told.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// What a `resume` needs after this connection broke: the secret and the position of what was received, also of
    /// what waits for `next`: take that first, or use `reconnect`.
    pub fn resume_point(&self) -> (SocketAddr, String, Position) {
        (self.address, self.welcome.resume.clone(), self.position.clone())
    }

    /// Drops the socket without a word and comes back. What was received and not taken yet still comes, before what
    /// was missed; but for views and patches, since the new connection brings the room anew.
    pub async fn reconnect(self) -> Result<Self, Error> {
        let (address, secret, position) = self.resume_point();
        drop(self.socket);
        let mut waiting = self.waiting;
        waiting.retain(is_told_once);
        Ok(Self { waiting, ..Self::resume(address, &secret, Some(position)).await? })
    }

    /// The next frame, in the order of the session.
    pub async fn next(&mut self) -> Result<ServerFrame, Error> {
        match self.waiting.pop_front() {
            Some(frame) => Ok(frame),
            None => self.receive().await,
        }
    }

    /// The next frame, if one comes within `wait`.
    pub async fn next_within(&mut self, wait: Duration) -> Result<ServerFrame, Error> {
        tokio::time::timeout(wait, self.next()).await.map_err(|_| Error::Timeout(wait))?
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), Error> {
        send(&mut self.socket, frame).await
    }

    /// Sends a text frame as it is, well formed or not.
    pub async fn send_raw(&mut self, text: &str) -> Result<(), Error> {
        self.socket.send(Message::text(text)).await.map_err(Error::connection)
    }

    /// Sends a command and gives its id.
    pub async fn start(&mut self, text: &str) -> Result<String, Error> {
        self.commands += 1;
        let id = format!("{:x}-{}", self.opened_at, self.commands);
        self.send(&ClientFrame::Command { id: id.clone(), text: text.to_owned() }).await?;
        Ok(id)
    }

    /// Sends a command and waits for its reply; what comes before it waits for `next`.
    pub async fn command(&mut self, text: &str) -> Result<Reply, Error> {
        let id = self.start(text).await?;
        self.reply(&id).await
    }

    /// Waits for the reply to a command; what comes before it waits for `next`.
    pub async fn reply(&mut self, id: &str) -> Result<Reply, Error> {
        let wanted = |frame: &ServerFrame| match frame {
            ServerFrame::Reply(reply) => reply.id == id,
            ServerFrame::Error(error) => error.id.as_deref() == Some(id),
            ServerFrame::Bye(_) => true,
            _ => false,
        };
        match self.find(wanted, REPLY_WAIT).await? {
            ServerFrame::Reply(reply) => Ok(reply),
            ServerFrame::Error(error) => Err(Error::Refused(Box::new(error))),
            ServerFrame::Bye(bye) => Err(Error::Bye(Box::new(bye))),
            _ => Err(Error::Closed),
        }
    }

    /// The first frame that is wanted, within `wait`; the others keep their order.
    pub async fn find(
        &mut self,
        wanted: impl Fn(&ServerFrame) -> bool,
        wait: Duration,
    ) -> Result<ServerFrame, Error> {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return Ok(self.waiting.remove(at).expect("found at this place"));
        }
        let search = async {
            loop {
                let frame = self.receive().await?;
                if wanted(&frame) {
                    return Ok(frame);
                }
                if self.waiting.len() == RESUME_WINDOW_EVENTS {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(frame);
            }
        };
        tokio::time::timeout(wait, search).await.map_err(|_| Error::Timeout(wait))?
    }

    /// Asks for a view and waits for it.
    pub async fn state(&mut self, what: What, page: Option<String>) -> Result<State, Error> {
        self.send(&ClientFrame::State { what, page }).await?;
        let wanted = |frame: &ServerFrame| match frame {
            ServerFrame::State(state) => state.what == what,
            ServerFrame::Bye(_) => true,
            _ => false,
        };
        match self.find(wanted, REPLY_WAIT).await? {
            ServerFrame::State(state) => Ok(state),
            ServerFrame::Bye(bye) => Err(Error::Bye(Box::new(bye))),
            _ => Err(Error::Closed),
        }
    }

    async fn receive(&mut self) -> Result<ServerFrame, Error> {
        let frame = receive(&mut self.socket).await?;
        if let Some(position) = position_of(&frame) {
            self.position = position.clone();
        }
        Ok(frame)
    }
}

/// Whether a resume from behind this frame does not bring it, nor anything in its place.
fn is_told_once(frame: &ServerFrame) -> bool {
    matches!(frame, ServerFrame::Event(_) | ServerFrame::Reply(_) | ServerFrame::Error(_))
}

fn position_of(frame: &ServerFrame) -> Option<&Position> {
    match frame {
        ServerFrame::Welcome(frame) => Some(&frame.position),
        ServerFrame::State(frame) => Some(&frame.position),
        ServerFrame::Event(frame) => frame.position.as_ref(),
        ServerFrame::Patch(frame) => Some(&frame.position),
        ServerFrame::Reply(frame) => Some(&frame.position),
        _ => None,
    }
}

async fn socket(address: SocketAddr, origin: Option<&str>) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://{address}/ws").into_client_request().map_err(Error::connection)?;
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUB_PROTOCOL));
    if let Some(origin) = origin {
        headers.insert("Origin", origin.parse().map_err(Error::connection)?);
    }
    let stream = TcpStream::connect(address).await.map_err(Error::connection)?;
    stream.set_nodelay(true).map_err(Error::connection)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let (socket, _) =
        client_async_with_config(request, stream, Some(config)).await.map_err(Error::connection)?;
    Ok(socket)
}

async fn send(socket: &mut WebSocketStream<TcpStream>, frame: &ClientFrame) -> Result<(), Error> {
    let text = serde_json::to_string(frame)?;
    socket.send(Message::text(text)).await.map_err(Error::connection)
}

async fn receive(socket: &mut WebSocketStream<TcpStream>) -> Result<ServerFrame, Error> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
            Some(Ok(Message::Close(_))) | None => return Err(Error::Closed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Error::connection(error)),
        }
    }
}
