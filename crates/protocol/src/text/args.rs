//! The arguments of a text: a handful, so a sorted list is smaller and faster than a map.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Arg;

/// The name of a key or an argument: nearly always written in the program, and then it costs nothing to hold.
pub type Name = Cow<'static, str>;

/// Arguments by name, in the order of their names. As JSON it is an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args(Vec<(Name, Arg)>);

impl Args {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The argument of a name.
    pub fn get(&self, name: &str) -> Option<&Arg> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, arg)| arg)
    }

    /// Sets an argument; one of the same name is replaced.
    pub fn insert(&mut self, name: impl Into<Name>, arg: Arg) {
        let name = name.into();
        match self.0.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.0[at].1 = arg,
            Err(at) => self.0.insert(at, (name, arg)),
        }
    }

    /// The arguments, in the order of their names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Arg)> {
        self.0.iter().map(|(name, arg)| (name.as_ref(), arg))
    }

    /// The arguments without their names.
    pub fn values(&self) -> impl Iterator<Item = &Arg> {
        self.0.iter().map(|(_, arg)| arg)
    }
}

impl IntoIterator for Args {
    type Item = (Name, Arg);
    type IntoIter = std::vec::IntoIter<(Name, Arg)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<Name>> FromIterator<(N, Arg)> for Args {
    fn from_iter<I: IntoIterator<Item = (N, Arg)>>(args: I) -> Self {
        let args = args.into_iter();
        let mut all = Self(Vec::with_capacity(args.size_hint().0.min(ROOM_MAX)));
        args.for_each(|(name, arg)| all.insert(name, arg));
        all
    }
}

/// Places made ready at once for arguments whose number somebody else tells.
const ROOM_MAX: usize = 16;

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, arg)| (name, arg)))
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Args;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("arguments by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args, A::Error> {
                let mut args = Args::default();
                while let Some((name, arg)) = map.next_entry::<String, Arg>()? {
                    args.insert(name, arg);
                }
                Ok(args)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_an_object_in_the_order_of_their_names() {
        let mut args: Args = [("who", "Ann"), ("text", "hi"), ("who", "Ben")]
            .map(|(name, plain)| (name, Arg::from(plain)))
            .into_iter()
            .collect();
        assert_eq!((args.get("who"), args.get("x")), (Some(&Arg::from("Ben")), None));
        let json = serde_json::to_string(&args).expect("JSON");
        assert_eq!(json, r#"{"text":"hi","who":"Ben"}"#);
        assert_eq!(serde_json::from_str::<Args>(&json).expect("args"), args);
        args.insert("a", "first".into());
        assert_eq!(args.values().next(), Some(&Arg::from("first")));
    }
}
