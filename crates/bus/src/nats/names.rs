//! The names of streams and of the bus's own subjects. A prefix is in all of them, so that two systems share one
//! account.

use crate::error::{Error, ErrorKind};
use crate::registry::{Class, Registry};
use crate::subject::Subject;
use crate::token::escape_token;

/// The first token of what the bus makes for itself.
const OWN: &str = "bus";

/// Every name.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// What goes before every subject, with its dot.
    prefix: String,
    /// What every stream's name begins with.
    base: String,
}

impl Names {
    /// Refuses a registry that uses the bus's own subjects, or whose logs a stream cannot hold.
    pub(crate) fn new(registry: &Registry) -> Result<Self, Error> {
        let prefix = registry.prefix().to_owned();
        for def in registry.templates() {
            let first = def.template.split('.').next().unwrap_or_default();
            let durable = def.class == Class::Durable;
            if first == OWN || (durable && prefix.is_empty() && first.starts_with('{')) {
                return Err(Error::new(
                    ErrorKind::Subject,
                    format!(
                        "template '{}': NATS takes neither a log that begins with a parameter without a prefix, \
                         nor what begins with '{OWN}'",
                        def.template
                    ),
                ));
            }
        }
        let base = match prefix.strip_suffix('.') {
            Some(text) => escape_token(text),
            None => "tidings".to_owned(),
        };
        Ok(Self { prefix, base })
    }

    /// The one stream of all logs.
    pub(crate) fn events(&self) -> String {
        format!("{}_EVENTS", self.base)
    }

    /// The stream of what the bus notes for itself: trims, attempts, the epoch.
    pub(crate) fn notes(&self) -> String {
        format!("{}_NOTES", self.base)
    }

    /// The stream of a bucket, named as other NATS clients name it.
    pub(crate) fn bucket_stream(&self, bucket: &str) -> String {
        format!("KV_{}_{bucket}", self.base)
    }

    /// What goes before a bucket's keys.
    pub(crate) fn bucket_keys(&self, bucket: &str) -> String {
        format!("$KV.{}_{bucket}.", self.base)
    }

    /// The stream of a work queue.
    pub(crate) fn work(&self, queue: &Subject) -> String {
        format!("{}_WORK_{}", self.base, escape_token(self.bare(queue.as_str())))
    }

    /// Whether a stream's name is that of a work queue.
    pub(crate) fn is_work(&self, stream: &str) -> bool {
        stream.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with("_WORK_"))
    }

    /// Whether a stream's name begins as ours do.
    pub(crate) fn is_ours(&self, stream: &str) -> bool {
        let bare = stream.strip_prefix("KV_").unwrap_or(stream);
        bare.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('_'))
    }

    /// The prefix's own subjects, all of them: what the stream sends on.
    pub(crate) fn everything(&self) -> String {
        format!("{}>", self.prefix)
    }

    fn own(&self, rest: &str) -> String {
        format!("{}{OWN}.{rest}", self.prefix)
    }

    /// Where the stream's messages are sent on.
    pub(crate) fn live(&self) -> String {
        self.own("live.>")
    }

    /// A log that nobody reads: carries a fence where a commit has fewer messages than fences, and the question
    /// whether a commit was stored.
    pub(crate) fn fill(&self) -> String {
        self.own("fill")
    }

    /// Every note.
    pub(crate) fn all_notes(&self) -> String {
        self.own("note.>")
    }

    /// The note of the stream's epoch.
    pub(crate) fn epoch_note(&self) -> String {
        self.own("note.epoch")
    }

    /// The notes of how far the logs of a pattern were trimmed.
    pub(crate) fn trim_notes_of(&self, logs: &str) -> String {
        self.own(&format!("note.trim.{}", self.bare(logs)))
    }

    /// The note of how far a log was trimmed.
    pub(crate) fn trim_note(&self, log: &Subject) -> String {
        self.own(&format!("note.trim.{}", self.bare(log.as_str())))
    }

    /// The notes of a work message's attempts.
    pub(crate) fn attempt_note(&self, queue: &Subject, seq: u64) -> String {
        self.own(&format!("note.attempt.{}.{seq}", self.bare(queue.as_str())))
    }

    /// Those of all its messages.
    pub(crate) fn attempt_notes(&self, queue: &Subject) -> String {
        self.own(&format!("note.attempt.{}.*", self.bare(queue.as_str())))
    }

    fn bare<'a>(&self, subject: &'a str) -> &'a str {
        subject.strip_prefix(self.prefix.as_str()).unwrap_or(subject)
    }

    /// What the event stream takes.
    pub(crate) fn event_subjects(&self, registry: &Registry) -> Vec<String> {
        let mut subjects = registry.patterns_of(Class::Durable);
        subjects.push(self.fill());
        subjects.sort();
        subjects
    }
}
