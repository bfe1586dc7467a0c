//! A value of the configuration, and what a key takes.

use std::fmt;

use serde::Serialize;
use tidings_edge::limits::Network;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;

use super::nats::NatsServer;
use crate::roles::is_role;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Texts, paths, addresses.
    Text(String),
    /// Whole numbers.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Texts in their order.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(u64::try_from(number).unwrap_or_default())
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(list: [&str; N]) -> Self {
        Self::List(list.iter().map(|text| (*text).to_owned()).collect())
    }
}

impl fmt::Display for Value {
    /// As it would stand in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(list) => write!(f, "{list:?}"),
        }
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A filter of log lines.
    Filter,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An address and a port.
    Address,
    /// A whole number from one to the other.
    Number(u64, u64),
    /// true or false.
    Flag,
    /// A list of texts.
    List,
    /// A list of addresses or networks.
    Networks,
    /// A list of what a process may do.
    Roles,
    /// A list of NATS servers. Their addresses may hold a password: no complaint quotes one.
    Servers,
    /// A name that can be part of others: lower-case letters, digits and dashes; or nothing.
    Name,
}

/// Longest name of a process.
const NAME_BYTES_MAX: usize = 24;

impl Kind {
    /// The value that a text stands for, as it comes from the environment, a flag or `--set`.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let value = match self {
            Self::Text | Self::Filter | Self::Choice(_) | Self::Address | Self::Name => {
                Value::Text(text.to_owned())
            }
            Self::Number(..) => Value::Number(text.trim().parse().map_err(|_| self.wanted(text))?),
            Self::Flag => Value::Flag(text.trim().parse().map_err(|_| self.wanted(text))?),
            Self::List | Self::Networks | Self::Roles | Self::Servers => {
                let items = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
                let items = items.map(|item| item.trim().trim_matches('"').to_owned());
                Value::List(items.filter(|item| !item.is_empty()).collect())
            }
        };
        self.check(value)
    }

    /// The value as it stands in a file.
    pub fn read(self, value: &DeValue<'_>) -> Result<Value, String> {
        let found = match (self, value) {
            (
                Self::Text | Self::Filter | Self::Choice(_) | Self::Address | Self::Name,
                DeValue::String(text),
            ) => Value::Text(text.to_string()),
            (Self::Flag, DeValue::Boolean(flag)) => Value::Flag(*flag),
            (Self::Number(..), DeValue::Integer(number)) => {
                let parsed = u64::from_str_radix(number.as_str(), number.radix());
                Value::Number(parsed.map_err(|_| self.wanted(number.as_str()))?)
            }
            (Self::List | Self::Networks | Self::Roles | Self::Servers, DeValue::Array(items)) => {
                let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
                Value::List(
                    texts.collect::<Option<_>>().ok_or_else(|| self.wanted("a list of something else"))?,
                )
            }
            (Self::Roles | Self::Servers, DeValue::String(text)) => return self.parse(text),
            (_, other) => return Err(self.wanted(other.type_str())),
        };
        self.check(found)
    }

    fn wanted(self, got: &str) -> String {
        let got: String = got.chars().take(60).collect();
        match self {
            Self::Text => format!("takes a text, not '{got}'"),
            Self::Filter => format!("takes a level, or a filter as in tidings_edge=debug, not '{got}'"),
            Self::Choice(known) => format!("takes one of {}, not '{got}'", known.join(", ")),
            Self::Address => format!("takes an address and a port, as in 127.0.0.1:4000, not '{got}'"),
            Self::Number(low, high) => format!("takes a whole number from {low} to {high}, not '{got}'"),
            Self::Flag => format!("takes true or false, not '{got}'"),
            Self::List => format!("takes a list of texts, not '{got}'"),
            Self::Networks => format!("takes addresses or networks, as in 10.0.0.0/8, not '{got}'"),
            Self::Roles => format!("takes all, or some of edge, zone and services, not '{got}'"),
            Self::Servers => {
                "takes addresses as in tls://nats.example or nats://10.0.0.1:4222, without a user or a \
                              password: those are 'nats.user' with 'nats.password_file', or 'nats.token_file'"
                    .to_owned()
            }
            Self::Name => {
                format!("takes 1 to {NAME_BYTES_MAX} lower-case letters, digits and dashes, not '{got}'")
            }
        }
    }

    /// Whether the value fits.
    pub fn check(self, value: Value) -> Result<Value, String> {
        match (self, &value) {
            (Self::Filter, Value::Text(text)) if !is_filter(text) => Err(self.wanted(text)),
            (Self::Choice(known), Value::Text(text)) if !known.contains(&text.as_str()) => {
                Err(self.wanted(text))
            }
            (Self::Address, Value::Text(text)) if text.parse::<std::net::SocketAddr>().is_err() => {
                Err(self.wanted(text))
            }
            (Self::Number(low, high), Value::Number(number)) if !(low..=high).contains(number) => {
                Err(self.wanted(&number.to_string()))
            }
            (Self::Networks, Value::List(list)) => {
                match list.iter().find(|text| text.parse::<Network>().is_err()) {
                    Some(bad) => Err(self.wanted(bad)),
                    None => Ok(value),
                }
            }
            (Self::Roles, Value::List(list)) if list.is_empty() => Err(self.wanted("")),
            (Self::Roles, Value::List(list)) => match list.iter().find(|text| !is_role(text)) {
                Some(bad) => Err(self.wanted(bad)),
                None => Ok(value),
            },
            (Self::Servers, Value::List(list))
                if list.iter().any(|text| NatsServer::read(text).is_none()) =>
            {
                Err(self.wanted(""))
            }
            (Self::Name, Value::Text(text)) if !is_name(text) => Err(self.wanted(text)),
            _ => Ok(value),
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_BYTES_MAX && text.bytes().all(plain)
}

/// Targets are names of modules; the parser does not take other texts than ASCII, and panics at some.
fn is_filter(text: &str) -> bool {
    text.is_ascii() && EnvFilter::try_new(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values_or_say_what_they_should_be() {
        let list = |items: &[&str]| Ok(Value::List(items.iter().map(|item| (*item).to_owned()).collect()));
        for (kind, text, expected) in [
            (Kind::Number(0, 10), "7", Ok(Value::Number(7))),
            (Kind::Number(0, 10), "11", Err("takes a whole number from 0 to 10, not '11'".into())),
            (Kind::Number(0, 10), "-1", Err("takes a whole number from 0 to 10, not '-1'".into())),
            (Kind::Flag, "true", Ok(Value::Flag(true))),
            (Kind::Flag, "yes", Err("takes true or false, not 'yes'".into())),
            (Kind::Address, "[::1]:0", Ok(Value::from("[::1]:0"))),
            (
                Kind::Address,
                "localhost",
                Err("takes an address and a port, as in 127.0.0.1:4000, not 'localhost'".into()),
            ),
            (Kind::Filter, "info,tidings_edge=debug", Ok(Value::from("info,tidings_edge=debug"))),
            (
                Kind::Filter,
                "tidings_edge=loud",
                Err("takes a level, or a filter as in tidings_edge=debug, not 'tidings_edge=loud'".into()),
            ),
            (Kind::List, "a, b", list(&["a", "b"])),
            (Kind::List, "[\"a\", \"b\"]", list(&["a", "b"])),
            (Kind::List, "", list(&[])),
            (Kind::Networks, "10.0.0.0/8,::1", list(&["10.0.0.0/8", "::1"])),
            (
                Kind::Networks,
                "10.0.0.0/99",
                Err("takes addresses or networks, as in 10.0.0.0/8, not '10.0.0.0/99'".into()),
            ),
        ] {
            assert_eq!(kind.parse(text), expected, "{kind:?} {text}");
        }
    }
}
