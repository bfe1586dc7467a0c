//! Who in this shard hears an audience.

use std::sync::Arc;

use super::sheet::Growing;
use crate::fanout::AudienceInfo;

/// How a member hears an audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Everything it may perceive.
    Heard,
    /// From its own `entered` record on.
    Waiting,
    /// Until its own `left` record.
    Leaving,
    /// The session is not live yet: everything is kept for it.
    Hold,
}

/// One member.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its connection.
    pub key: u32,
    /// How it hears.
    pub hearing: Hearing,
}

/// The members of one audience in this shard.
#[derive(Debug)]
pub struct Members {
    /// Which audience.
    pub info: Arc<AudienceInfo>,
    /// In no order.
    pub list: Vec<Member>,
    /// Holds of the dispatcher that are ours to release.
    pub holds: u32,
    /// Members who do not simply hear everything.
    pub unsettled: u32,
    /// Members who have muted somebody.
    pub muting: u32,
    /// What its members get, until it is written; none where nothing was said to several.
    pub sheet: Option<Box<Growing>>,
}

impl Members {
    /// Nobody yet.
    pub fn new(info: Arc<AudienceInfo>) -> Self {
        Self { info, list: Vec::new(), holds: 0, unsettled: 0, muting: 0, sheet: None }
    }

    /// Adds a member; answers its place.
    pub fn add(&mut self, key: u32, hearing: Hearing) -> u32 {
        self.unsettled += u32::from(hearing != Hearing::Heard);
        self.list.push(Member { key, hearing });
        self.list.len() as u32 - 1
    }

    /// Removes the member at a place; answers whose place changed: it is there now.
    pub fn remove(&mut self, place: u32) -> Option<u32> {
        let gone = self.list.swap_remove(place as usize);
        self.unsettled -= u32::from(gone.hearing != Hearing::Heard);
        self.list.get(place as usize).map(|moved| moved.key)
    }

    /// Changes how the member at a place hears.
    pub fn set(&mut self, place: u32, hearing: Hearing) {
        let member = &mut self.list[place as usize];
        self.unsettled -= u32::from(member.hearing != Hearing::Heard);
        self.unsettled += u32::from(hearing != Hearing::Heard);
        member.hearing = hearing;
    }
}
