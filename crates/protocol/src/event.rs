//! An event of a log, read where it lies: who only looks at a record makes no copy of what it says.
//!
//! Reads what [`wire::Event`] reads, where nothing comes twice that comes once: of a message the last counts, of a text's
//! key and arguments the first. What an event does not show (`variants`, an actor's kind) is not looked at.

use crate::form::{FormError, Value, field};
use crate::proto::world::v1 as wire;
use crate::text::TextRef;

/// `tidings.world.v1.Event`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)] // as in the message
pub struct EventRef<'a> {
    pub kind: &'a str,
    pub time_ms: i64,
    pub from: Option<ActorRef<'a>>,
    pub origin: Option<OriginRef<'a>>,
    pub text: Option<TextRef<'a>>,
    pub own: Option<TextRef<'a>>,
    pub data: &'a str,
    pub only: Vec<&'a str>,
    pub except: Vec<&'a str>,
    pub subject: &'a str,
    pub audiences: Option<wire::Audiences>,
    pub patch: &'a str,
    pub mute: Option<wire::MuteChange>,
    pub always: bool,
    pub channel: &'a str,
    pub refused: bool,
    pub bye: Option<wire::Bye>,
}

/// Who did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // as in the message
pub struct ActorRef<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub account: &'a str,
}

/// The command that caused it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // as in the message
pub struct OriginRef<'a> {
    pub session: &'a str,
    pub id: &'a str,
}

impl<'a> EventRef<'a> {
    /// Reads an event; an error where decoding it would be one, but for its texts: what is wrong within them reads as
    /// nothing.
    pub fn read(bytes: &'a [u8]) -> Result<Self, FormError> {
        let (mut event, mut left) = (Self::default(), bytes);
        while let Some((number, value)) = field(&mut left)? {
            event.take(number, value)?;
        }
        Ok(event)
    }

    fn take(&mut self, number: u32, value: Value<'a>) -> Result<(), FormError> {
        match number {
            1 => self.kind = value.text()?,
            2 => self.time_ms = value.number()?.cast_signed(),
            3 => self.from = Some(ActorRef::read(value.bytes()?)?),
            4 => self.origin = Some(OriginRef::read(value.bytes()?)?),
            5 => self.text = Some(TextRef::new(value.bytes()?)),
            6 => self.own = Some(TextRef::new(value.bytes()?)),
            7 => self.data = value.text()?,
            8 => self.only.push(value.text()?),
            9 => self.subject = value.text()?,
            10 => self.audiences = Some(decode(value)?),
            11 => self.patch = value.text()?,
            13 => self.mute = Some(decode(value)?),
            14 => self.always = value.number()? != 0,
            15 => self.channel = value.text()?,
            16 => self.except.push(value.text()?),
            17 => self.refused = value.number()? != 0,
            18 => self.bye = Some(decode(value)?),
            _ => {}
        }
        Ok(())
    }
}

impl<'a> ActorRef<'a> {
    fn read(mut left: &'a [u8]) -> Result<Self, FormError> {
        let mut actor = Self::default();
        while let Some((number, value)) = field(&mut left)? {
            match number {
                1 => actor.id = value.text()?,
                2 => actor.name = value.text()?,
                3 => actor.account = value.text()?,
                _ => {}
            }
        }
        Ok(actor)
    }
}

impl<'a> OriginRef<'a> {
    fn read(mut left: &'a [u8]) -> Result<Self, FormError> {
        let mut origin = Self::default();
        while let Some((number, value)) = field(&mut left)? {
            match number {
                1 => origin.session = value.text()?,
                2 => origin.id = value.text()?,
                _ => {}
            }
        }
        Ok(origin)
    }
}

/// What few events have.
fn decode<M: prost::Message + Default>(value: Value<'_>) -> Result<M, FormError> {
    M::decode(value.bytes()?).map_err(|_| FormError::Wire)
}
