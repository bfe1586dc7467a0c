//! What is checked of a message on its way in and out: size, form. Off or on by configuration; the class of a
//! subject is always checked.

use std::sync::Arc;

use metrics::Counter;

use crate::config::BusConfig;
use crate::error::{Error, ErrorKind};
use crate::log::LogMessage;
use crate::registry::{Class, Registry};
use crate::subject::{NO_TEMPLATE, Subject};

/// The checks of one handle.
pub(crate) struct Checks {
    registry: Arc<Registry>,
    config: BusConfig,
    refused: Counter,
    skipped: Counter,
}

impl Checks {
    pub(crate) fn new(registry: Arc<Registry>, config: BusConfig) -> Self {
        Self {
            registry,
            config,
            refused: metrics::counter!("tidings_bus_schema_refused_total"),
            skipped: metrics::counter!("tidings_bus_schema_skipped_total"),
        }
    }

    pub(crate) fn config(&self) -> &BusConfig {
        &self.config
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The class belongs to the subject.
    pub(crate) fn class(found: Class, wanted: &[Class], name: &str) -> Result<(), Error> {
        if wanted.contains(&found) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Subject,
            format!("'{name}' is of class {found:?}: this call takes {wanted:?} only"),
        ))
    }

    /// Size always, form where configured.
    pub(crate) fn outbound(&self, subject: &Subject, payload: &[u8]) -> Result<(), Error> {
        let Some(row) = self.registry.row(subject.template()) else {
            return self.unknown(subject);
        };
        if payload.len() > row.max_payload {
            self.refused.increment(1);
            return Err(Error::new(
                ErrorKind::Schema,
                format!("{} bytes for '{subject}': at most {}", payload.len(), row.max_payload),
            ));
        }
        match &row.check {
            Some(check) if self.config.check_outbound => check.run(payload).map_err(|why| {
                self.refused.increment(1);
                Error::new(ErrorKind::Schema, format!("no {} for '{subject}': {why}", row.message))
            }),
            _ => Ok(()),
        }
    }

    fn unknown(&self, subject: &Subject) -> Result<(), Error> {
        if subject.template() == NO_TEMPLATE {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Subject, format!("'{subject}' comes from another registry")))
    }

    /// Whether a payload has its message's form; counts one that has not.
    pub(crate) fn inbound(&self, subject: &Subject, payload: &[u8]) -> bool {
        self.why_invalid(subject, payload).is_none()
    }

    /// What a message is marked with that `outbound` has let pass.
    pub(crate) fn mark(&self) -> u64 {
        if self.config.check_outbound { self.registry.number() } else { 0 }
    }

    /// Whether a payload has its form: not looked at again where this process sent it, checked by this registry.
    pub(crate) fn is_well(&self, checked: u64, subject: &Subject, payload: &[u8]) -> bool {
        checked == self.registry.number() || self.inbound(subject, payload)
    }

    /// The same of a message of a log.
    pub(crate) fn is_logged_well(&self, message: &LogMessage) -> bool {
        self.is_well(message.checked, &message.subject, &message.payload)
    }

    /// Why a payload has not its message's form; counts it.
    pub(crate) fn why_invalid(&self, subject: &Subject, payload: &[u8]) -> Option<String> {
        if !self.config.check_inbound {
            return None;
        }
        let why = self.registry.row(subject.template())?.check.as_ref()?.run(payload).err()?;
        self.skipped.increment(1);
        tracing::debug!(%subject, %why, "an invalid message was skipped");
        Some(why)
    }
}
