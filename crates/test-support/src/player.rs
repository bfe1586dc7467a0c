//! A player over a real socket: says, hears, and fails with what was heard instead.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tidings_client::frames::{Event, ServerFrame, State, What};
use tidings_client::{Api, Connection, Error, SignedIn};

/// How long a line may take to arrive in a test on a loaded machine.
const HEAR_WAIT: Duration = Duration::from_secs(10);
/// How long nothing has to come before it counts as silence.
const SILENCE: Duration = Duration::from_millis(300);

/// A player in the world.
pub struct Player {
    /// The character's name.
    pub name: String,
    /// The sign-in.
    pub session: SignedIn,
    /// The socket.
    pub connection: Connection,
    /// The view that followed `welcome`.
    pub state: State,
}

impl Player {
    /// Makes an account with a character called `name`, signs in and enters.
    pub async fn new(api: &Api, name: &str) -> Result<Self> {
        let username = format!("{}-account", name.to_lowercase());
        let password = format!("correct horse {name}");
        api.register(&username, &password).await.context("registering")?;
        let session = api.sign_in(&username, &password).await.context("signing in")?;
        api.create_character(&session, name).await.context("making a character")?;
        Self::enter(api, session, Some(name)).await
    }

    /// Enters as a guest.
    pub async fn guest(api: &Api) -> Result<Self> {
        let session = api.guest().await.context("entering as a guest")?;
        Self::enter(api, session, None).await
    }

    /// Enters with a sign-in, and reads up to the first `state`.
    pub async fn enter(api: &Api, session: SignedIn, character: Option<&str>) -> Result<Self> {
        let connection = Connection::enter(api, &session, character).await.context("saying hello")?;
        Self::settle(connection, session).await
    }

    async fn settle(mut connection: Connection, session: SignedIn) -> Result<Self> {
        let first = |frame: &ServerFrame| matches!(frame, ServerFrame::State(_));
        let ServerFrame::State(state) = connection.find(first, HEAR_WAIT).await.context("the first state")?
        else {
            bail!("the first state is no state");
        };
        Ok(Self { name: connection.welcome().character.name.clone(), session, connection, state })
    }

    /// Drops the socket and comes back to the session.
    pub async fn reconnect(self) -> Result<Self> {
        let connection = self.connection.reconnect().await.context("resuming")?;
        Self::settle(connection, self.session).await
    }

    /// Does a command and gives the reply's text; a refusal is an error here.
    pub async fn does(&mut self, command: &str) -> Result<String> {
        let reply = self.connection.command(command).await.with_context(|| format!("'{command}'"))?;
        if !reply.ok {
            bail!("{}: '{command}' was refused: {}", self.name, reply.text);
        }
        Ok(reply.text)
    }

    /// Does a command that is refused, and gives the reply's text.
    pub async fn refused(&mut self, command: &str) -> Result<String> {
        let reply = self.connection.command(command).await.with_context(|| format!("'{command}'"))?;
        if reply.ok {
            bail!("{}: '{command}' was not refused: {}", self.name, reply.text);
        }
        Ok(reply.text)
    }

    /// Waits for an event with this text; other frames wait for later.
    pub async fn hears(&mut self, text: &str) -> Result<Event> {
        let wanted = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(event) if event.text == text);
        match self.connection.find(wanted, HEAR_WAIT).await {
            Ok(ServerFrame::Event(event)) => Ok(event),
            Ok(_) => bail!("not an event"),
            Err(error) => {
                let heard = self.lines().await;
                Err(error).with_context(|| format!("{} never heard '{text}'; heard {heard:#?}", self.name))
            }
        }
    }

    /// Fails when an event with this text comes before it is silent for a while.
    pub async fn does_not_hear(&mut self, text: &str) -> Result<()> {
        let wanted = |frame: &ServerFrame| matches!(frame, ServerFrame::Event(event) if event.text == text);
        match self.connection.find(wanted, SILENCE).await {
            Ok(_) => bail!("{} heard '{text}'", self.name),
            Err(Error::Timeout(_)) => Ok(()),
            Err(error) => Err(error).context("listening"),
        }
    }

    /// The texts of the events that came so far, until it is silent for a while; they are used up.
    pub async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(frame) = self.connection.next_within(SILENCE).await {
            match frame {
                ServerFrame::Event(event) => lines.push(event.text),
                ServerFrame::Reply(reply) => lines.push(reply.text),
                _ => {}
            }
        }
        lines
    }

    /// Waits for the next `state` of the room.
    pub async fn sees_room(&mut self) -> Result<State> {
        let wanted = |frame: &ServerFrame| matches!(frame, ServerFrame::State(s) if s.what == What::Room);
        match self.connection.find(wanted, HEAR_WAIT).await? {
            ServerFrame::State(state) => Ok(state),
            _ => bail!("not a state"),
        }
    }

    /// The id of the room that was entered last, from a fresh view.
    pub async fn room(&mut self) -> Result<String> {
        let state = self.connection.state(What::Room, None).await?;
        Ok(state.body["room"]["id"].as_str().context("a room has an id")?.to_owned())
    }
}
