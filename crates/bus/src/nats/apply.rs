//! Bringing streams to the form that a registry and a configuration declare. A process that starts never does this: it makes
//! what is missing and refuses what differs; a change is for somebody who looks at it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::nats::config::NatsConfig;
use crate::nats::connection::Connection;
use crate::nats::inspect::{Look, StreamFound};
use crate::nats::names::Names;
use crate::nats::{CLOSE_WAIT, Nats, stream};
use crate::registry::Registry;

/// How streams are brought to their form.
#[derive(Debug, Clone, Copy, Default)]
pub struct ApplyConfig {
    /// Nothing is done, and all is told.
    pub dry_run: bool,
    /// A stream may have fewer copies afterwards: the next server that is lost may take messages with it.
    pub fewer_copies: bool,
}

/// What was done to a stream, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is as declared.
    None,
    /// It was not there.
    Make,
    /// It had another form.
    Change,
    /// It is left as it is: see `error`.
    Refused,
    /// It was to be made or changed, and there was no answer in time: look again.
    Unknown,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// The streams that are declared, then work queues.
    pub streams: Vec<AppliedStream>,
    /// What this user may not ask, so that work queues were not seen; a sentence each.
    pub refused: Vec<String>,
}

/// A stream, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct AppliedStream {
    /// Its name.
    pub name: String,
    /// What it is for: logs, notes, bucket, work queue.
    pub what: &'static str,
    /// What was done.
    pub change: Change,
    /// Where it was another than declared.
    pub differences: Vec<String>,
    /// Why nothing was done, or it is not known whether.
    pub error: Option<String>,
}

impl Nats {
    /// Makes the streams and buckets that are missing and changes those that differ, each by itself: what one refuses does
    /// not keep the others. A change that would make a stream forget messages is refused, and so are fewer copies unless
    /// that is meant. Of work queues, which whoever works on them declares, the number of copies alone is changed.
    ///
    /// A stream that is to have more copies has them some time after this: see [`Nats::inspect`].
    pub async fn apply(
        config: NatsConfig,
        registry: Arc<Registry>,
        how: ApplyConfig,
    ) -> Result<Applied, Error> {
        let names = Names::new(&registry)?;
        let connection = Connection::open(&config).await?;
        let look = Look::new(&connection, &names);
        let apply = Apply { look, how, deadline: config.bus.deadline, connection: &connection };
        let applied = apply.all(&config, &registry, &names).await;
        connection.close(CLOSE_WAIT).await;
        applied
    }
}

struct Apply<'a> {
    look: Look<'a>,
    connection: &'a Connection,
    how: ApplyConfig,
    deadline: Duration,
}

impl Apply<'_> {
    async fn all(&self, config: &NatsConfig, registry: &Registry, names: &Names) -> Result<Applied, Error> {
        let mut declared = self.look.declared(config, registry);
        let known: Vec<_> =
            declared.iter().filter_map(|(_, one)| Some(one["name"].as_str()?.to_owned())).collect();
        let others = self.look.others(&known).await?;
        let queue = |name| ("work queue", json!({ "name": name, "num_replicas": config.replicas }));
        declared.extend(others.into_iter().filter(|name| names.is_work(name)).map(queue));
        let mut streams = Vec::with_capacity(declared.len());
        for (what, declared) in declared {
            streams.push(self.one(what, &declared).await);
        }
        Ok(Applied { streams, refused: self.look.refused() })
    }

    async fn one(&self, what: &'static str, declared: &Value) -> AppliedStream {
        let name = declared["name"].as_str().unwrap_or_default().to_owned();
        let mut applied =
            AppliedStream { name, what, change: Change::None, differences: Vec::new(), error: None };
        if let Err(error) = self.bring(declared, &mut applied).await {
            let asked = applied.change != Change::None && !self.how.dry_run;
            let unknown = asked && error.kind() == ErrorKind::Timeout;
            applied.change = if unknown { Change::Unknown } else { Change::Refused };
            applied.error = Some(error.to_string());
        }
        applied
    }

    async fn bring(&self, declared: &Value, applied: &mut AppliedStream) -> Result<(), Error> {
        let Some(found) = self.look.found(&applied.name).await? else {
            applied.change = Change::Make;
            return self.ask("CREATE", &applied.name, declared).await;
        };
        applied.differences = stream::differences(declared, &found.config);
        if applied.differences.is_empty() {
            return Ok(());
        }
        applied.change = Change::Change;
        let lost = losses(declared, &found);
        if !lost.is_empty() {
            let what = format!("it would forget messages: {}", lost.join("; "));
            return Err(Error::new(ErrorKind::Mismatch, what));
        }
        let copies = declared["num_replicas"].as_u64().unwrap_or(found.replicas);
        if copies < found.replicas && !self.how.fewer_copies {
            let what = format!("it would have {copies} copies, and has {}", found.replicas);
            return Err(Error::new(ErrorKind::Mismatch, what));
        }
        self.ask("UPDATE", &applied.name, &merged(declared, &found.config)).await
    }

    /// Both may be done twice: one that is there as it is asked for is made, and one that has the form is changed.
    async fn ask(&self, verb: &str, name: &str, form: &Value) -> Result<(), Error> {
        if self.how.dry_run {
            return Ok(());
        }
        let subject = format!("STREAM.{verb}.{name}");
        self.connection.demand(&subject, form, self.deadline).await.map(drop)
    }
}

/// What is there, with what is declared in its place: what nobody declares stays as somebody set it.
fn merged(declared: &Value, found: &Value) -> Value {
    let mut form = found.clone();
    let fields = form.as_object_mut().into_iter().zip(declared.as_object());
    for (form, declared) in fields {
        for (field, value) in declared {
            match value {
                Value::Null => form.remove(field),
                value => form.insert(field.clone(), value.clone()),
            };
        }
    }
    form
}

/// Limits that would take messages out which are there.
fn losses(declared: &Value, found: &StreamFound) -> Vec<String> {
    let limit = |form: &Value, field: &str| form[field].as_i64().filter(|limit| *limit > 0);
    let mut lost = Vec::new();
    for (field, held) in [("max_msgs", found.messages), ("max_bytes", found.bytes)] {
        if let Some(limit) = limit(declared, field).and_then(|limit| u64::try_from(limit).ok())
            && limit < held
        {
            lost.push(format!("{field} would be {limit}, and it holds {held}"));
        }
    }
    for field in ["max_msgs_per_subject", "max_age"] {
        let (wanted, now) = (limit(declared, field), limit(&found.config, field));
        if let Some(wanted) = wanted
            && found.messages > 0
            && now.is_none_or(|now| wanted < now)
        {
            let now = now.map_or("no limit".to_owned(), |now| now.to_string());
            lost.push(format!("{field} would be {wanted}, and is {now}"));
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_declares_stays() {
        let found =
            json!({"name": "a", "num_replicas": 1, "republish": {"src": ">"}, "metadata": {"x": "y"}});
        let declared = json!({"name": "a", "num_replicas": 3, "republish": null, "allow_atomic": true});
        let expected = json!({"name": "a", "num_replicas": 3, "metadata": {"x": "y"}, "allow_atomic": true});
        assert_eq!(merged(&declared, &found), expected);
    }

    #[test]
    fn a_limit_that_forgets_is_told() {
        let found = |config: Value| StreamFound::holding(10, 1_000, config);
        for (declared, now, lost) in [
            (json!({"max_msgs": 10, "max_bytes": 1_000}), json!({"max_msgs": 20}), 0),
            (json!({"max_msgs": 9, "max_bytes": 999}), json!({}), 2),
            (json!({"max_msgs": -1, "max_bytes": 0}), json!({}), 0),
            (json!({"max_msgs_per_subject": 1}), json!({"max_msgs_per_subject": -1}), 1),
            (json!({"max_msgs_per_subject": 1}), json!({"max_msgs_per_subject": 1}), 0),
            (json!({"max_msgs_per_subject": -1}), json!({"max_msgs_per_subject": 1}), 0),
            (json!({"max_age": 5}), json!({"max_age": 0}), 1),
            (json!({"max_age": 5}), json!({"max_age": 6}), 1),
            (json!({"max_age": 7}), json!({"max_age": 6}), 0),
        ] {
            assert_eq!(losses(&declared, &found(now)).len(), lost, "{declared}");
        }
    }
}
