//! Streams as they are declared: made where they are missing, compared where they are there, never changed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::nats::api::ApiError;
use crate::nats::connection::Connection;
use crate::nats::names::Names;
use crate::nats::read::parse_time;
use crate::nats::wake::{Clock, Moment};
use crate::registry::Registry;
use crate::settings::BucketConfig;

/// How long a message id is remembered.
const DUPLICATES: Duration = Duration::from_secs(120);
/// How long the mark of a key that is gone stays, for watchers and for the rule that a revision is never reused.
pub(crate) const KEY_MARK: Duration = Duration::from_secs(60);
/// How long before a stream that is missing is made, or called deleted: a server that has just started knows its streams one after the
/// other.
const LOOK_TWICE: Duration = Duration::from_millis(250);
/// The pause before a stream without a leader is looked at again.
const LEADER_AGAIN: Duration = Duration::from_millis(200);
/// How long it is asked whether a stream was deleted, by a call that has had its time.
const GONE_WAIT: Duration = Duration::from_secs(1);
/// JetStream's code for a stream that is there in another form.
const NAME_IN_USE: u32 = 10_058;

/// How many copies the streams have: as configured, until one that was looked at says otherwise, since somebody may give
/// them more while processes run.
#[derive(Debug)]
pub(crate) struct Copies(AtomicUsize);

impl Copies {
    pub(crate) fn new(configured: usize) -> Self {
        Self(AtomicUsize::new(configured))
    }

    pub(crate) fn learn(&self, copies: usize) {
        self.0.store(copies, Ordering::Release);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

/// What is known of a stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamInfo {
    /// When it was made: changes when it is made again.
    pub(crate) created: String,
    /// Its last sequence.
    pub(crate) last_seq: u64,
    /// Its messages.
    pub(crate) messages: u64,
    /// Copies it is kept in.
    pub(crate) copies: usize,
    /// The server that leads it, where there are several.
    pub(crate) leader: Option<String>,
    /// That server's time, where it tells it.
    pub(crate) clock: Option<Clock>,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The stream of all logs; with copies of what is stored, for those who follow.
pub(crate) fn events(names: &Names, registry: &Registry, replicas: usize, follow: bool) -> Value {
    let copies = follow.then(|| json!({"src": names.everything(), "dest": names.live()}));
    json!({
        "name": names.events(), "subjects": names.event_subjects(registry),
        "retention": "limits", "storage": "file", "num_replicas": replicas,
        // Full, it refuses: a log that forgets what it was not told to forget is none.
        "discard": "new", "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
        "allow_direct": true, "allow_atomic": true, "allow_msg_ttl": true, "allow_rollup_hdrs": true,
        "duplicate_window": nanoseconds(DUPLICATES),
        "republish": copies,
    })
}

/// The stream of the bus's own notes.
pub(crate) fn notes(names: &Names, replicas: usize) -> Value {
    json!({
        "name": names.notes(), "subjects": [names.all_notes()],
        "retention": "limits", "storage": "file", "num_replicas": replicas, "discard": "new",
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1,
        "allow_direct": true, "allow_msg_ttl": true, "allow_rollup_hdrs": true,
    })
}

/// The stream of a bucket, as other NATS clients make one, with marks that go by themselves.
pub(crate) fn bucket(names: &Names, bucket: &BucketConfig, replicas: usize) -> Value {
    json!({
        "name": names.bucket_stream(&bucket.name), "subjects": [format!("{}>", names.bucket_keys(&bucket.name))],
        // In files whatever it keeps: a server that is alone forgets a stream in memory with everything about it when
        // it restarts, and nobody would find the bucket again; all of a cluster together forget what is in it.
        "retention": "limits", "storage": "file", "num_replicas": replicas, "discard": "new",
        // The bound of keys is held before a write: a replicated stream at its limit refuses to replace, too.
        "max_msgs": bucket.keys_max.saturating_mul(2), "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": 1,
        "allow_direct": true, "allow_rollup_hdrs": true, "allow_msg_ttl": true, "deny_delete": true,
        "subject_delete_marker_ttl": nanoseconds(KEY_MARK),
    })
}

/// Makes a stream, or compares the one there is.
pub(crate) async fn ensure(
    connection: &Connection,
    declared: &Value,
    deadline: Duration,
) -> Result<(), Error> {
    let name = declared["name"].as_str().unwrap_or_default();
    let (look, what) = (format!("STREAM.INFO.{name}"), format!("the stream '{name}'"));
    let mut info = connection.call(&look, &json!({}), deadline).await?;
    if info.as_ref().is_err_and(ApiError::is_missing) {
        tokio::time::sleep(LOOK_TWICE).await;
        info = connection.call(&look, &json!({}), deadline).await?;
    }
    if info.as_ref().is_err_and(ApiError::is_missing) {
        info = connection.call(&format!("STREAM.CREATE.{name}"), declared, deadline).await?;
        // Another process was faster, and with another form.
        if info.as_ref().is_err_and(|error| error.err_code == NAME_IN_USE) {
            info = connection.call(&look, &json!({}), deadline).await?;
        }
    }
    let info = info.map_err(|error| error.to_error(&what))?;
    compare(&format!("stream '{name}'"), declared, &info["config"])
}

/// Refuses where one of these streams is not there.
pub(crate) async fn demand_there(
    connection: &Connection,
    names: &[String],
    deadline: Duration,
) -> Result<(), Error> {
    for name in names {
        let look = format!("STREAM.INFO.{name}");
        match connection.call(&look, &json!({}), deadline).await? {
            Ok(_) => {}
            Err(error) if error.is_missing() => {
                let what = format!(
                    "there is no stream '{name}': the first server of its world that starts makes it"
                );
                return Err(Error::new(ErrorKind::Mismatch, what));
            }
            Err(error) => return Err(error.to_error(&format!("the stream '{name}'"))),
        }
    }
    Ok(())
}

/// Whether the servers say that there is no such stream, and still do a moment later: not that it has no leader.
pub(crate) async fn is_gone(connection: &Connection, name: &str) -> bool {
    let look = format!("STREAM.INFO.{name}");
    let is_missing = async || {
        let answer = connection.call_once(&look, Bytes::from_static(b"{}"), GONE_WAIT).await;
        matches!(answer, Ok(Err(error)) if error.is_missing())
    };
    if !is_missing().await {
        return false;
    }
    tokio::time::sleep(LOOK_TWICE).await;
    is_missing().await
}

/// Of a stream that was there.
pub(crate) fn gone(name: &str) -> Error {
    let what = format!(
        "the stream '{name}' was deleted: the next process that starts makes it, and what was in it is lost"
    );
    Error::new(ErrorKind::Mismatch, what)
}

/// What is known of a stream now, from its leader. `NoResponders`: it has none.
pub(crate) async fn info(
    connection: &Connection,
    name: &str,
    deadline: Duration,
) -> Result<StreamInfo, Error> {
    let (look, until) = (format!("STREAM.INFO.{name}"), Instant::now() + deadline);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let info = connection.demand(&look, &json!({}), left).await?;
        let at = Moment::now();
        if !is_leaderless(&info) {
            return Ok(StreamInfo {
                created: info["created"].as_str().unwrap_or_default().to_owned(),
                last_seq: info["state"]["last_seq"].as_u64().unwrap_or(0),
                messages: info["state"]["messages"].as_u64().unwrap_or(0),
                copies: copies(&info),
                leader: info["cluster"]["leader"].as_str().map(str::to_owned),
                clock: info["ts"].as_str().and_then(parse_time).map(|time_ms| Clock { time_ms, at }),
            });
        }
        if left <= LEADER_AGAIN {
            return Err(Error::new(ErrorKind::NoResponders, format!("the stream '{name}' has no leader")));
        }
        tokio::time::sleep(LEADER_AGAIN).await;
    }
}

fn copies(info: &Value) -> usize {
    info["config"]["num_replicas"].as_u64().and_then(|copies| usize::try_from(copies).ok()).unwrap_or(1)
}

/// Whether an answer comes from a server that knows no leader: one whose store was wiped says then that the stream is empty.
fn is_leaderless(info: &Value) -> bool {
    copies(info) > 1 && info["cluster"]["leader"].as_str().is_none_or(str::is_empty)
}

/// The subjects of a pattern that a stream holds messages of, in order.
pub(crate) async fn subjects(
    connection: &Connection,
    name: &str,
    pattern: &str,
    deadline: Duration,
) -> Result<Vec<String>, Error> {
    let mut found = std::collections::BTreeSet::new();
    loop {
        let question = json!({"subjects_filter": pattern, "offset": found.len()});
        let info = connection.demand(&format!("STREAM.INFO.{name}"), &question, deadline).await?;
        let before = found.len();
        found.extend(info["state"]["subjects"].as_object().into_iter().flat_map(|map| map.keys().cloned()));
        let total = info["total"].as_u64().and_then(|total| usize::try_from(total).ok()).unwrap_or(0);
        if found.len() == before || found.len() >= total {
            return Ok(found.into_iter().collect());
        }
    }
}

/// Every difference in one error: what is there stays as it is.
pub(crate) fn compare(what: &str, declared: &Value, found: &Value) -> Result<(), Error> {
    let differences = differences(declared, found);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Mismatch,
        format!("the {what} is there in another form, and is not changed: {}", differences.join("; ")),
    ))
}

/// Where what is found is another than declared.
pub(crate) fn differences(declared: &Value, found: &Value) -> Vec<String> {
    let fields = declared.as_object().into_iter().flatten();
    let differ = fields.filter(|(field, wanted)| !alike(wanted, &found[*field]));
    differ.map(|(field, wanted)| format!("{field} is {}, declared is {wanted}", found[field])).collect()
}

/// Servers leave out what is false, nothing or empty, and order subjects as they like.
fn alike(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Bool(false), Value::Null) => true,
        (Value::Number(number), Value::Null) => number.as_u64() == Some(0),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().all(|one| found.contains(one))
        }
        (Value::Object(wanted), found) => wanted.iter().all(|(field, value)| alike(value, &found[field])),
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_leader_is_told_from_the_leaders() {
        for (info, leaderless) in [
            (json!({"config": {"num_replicas": 3}, "cluster": {"leader": "n1"}}), false),
            (json!({"config": {"num_replicas": 3}, "cluster": {"name": "c"}}), true),
            (json!({"config": {"num_replicas": 3}, "cluster": {"leader": ""}}), true),
            (json!({"config": {"num_replicas": 3}}), true),
            (json!({"config": {"num_replicas": 1}}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_leaderless(&info), leaderless, "{info}");
        }
    }

    #[test]
    fn a_difference_is_told_field_by_field() {
        let declared = json!({"name": "a", "subjects": ["x", "y"], "max_age": 0, "num_replicas": 3});
        let same = json!({"name": "a", "subjects": ["y", "x"], "num_replicas": 3, "other": true});
        assert!(compare("stream", &declared, &same).is_ok());
        let other = json!({"name": "a", "subjects": ["x"], "num_replicas": 1});
        let error = compare("stream 'a'", &declared, &other).expect_err("they differ");
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        for part in ["subjects", "num_replicas is 1, declared is 3"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
