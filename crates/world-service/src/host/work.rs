//! What a zone has to decide, in the order it is decided.

use std::collections::VecDeque;

use tidings_bus::Message;
use tidings_world::Output;
use tidings_world::input::{Command, Fact, Timer};

use super::late::Late;
use super::requests::Kind;

/// One thing to decide.
pub enum Work {
    /// The zone was loaded: its timers and its people are told.
    Wake,
    /// What waking or a beat put out beyond one commit: a world whose rooms were removed moves everyone in them, and
    /// weather is told in each room.
    Rest(VecDeque<Output>),
    /// A fact from another zone, or from the host.
    Fact(Fact),
    /// A timer is due.
    Timer(Timer),
    /// Something waited for has come.
    Late(Late),
    /// A request for the rules.
    Ask(Message, Kind, Command),
    /// A fact that is asked for by a request.
    Tell(Message, Fact),
}

impl Work {
    /// Who waits for an answer.
    pub fn into_message(self) -> Option<Message> {
        match self {
            Self::Ask(message, ..) | Self::Tell(message, _) => Some(message),
            Self::Late(Late::Enter(entering)) => Some(entering.message),
            Self::Late(Late::Arrive(message, _)) => Some(message),
            Self::Wake | Self::Rest(_) | Self::Fact(_) | Self::Timer(_) | Self::Late(_) => None,
        }
    }
}
