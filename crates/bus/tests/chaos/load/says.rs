//! Publishers and those who hear them: at most once; what is lost is counted, and what comes after a later one: what a dead
//! connection still carried may arrive behind what was sent over the next.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidings_bus::{Bus, ErrorKind, Pattern, Subscription};
use tokio::task::JoinHandle;

use super::{PACE, Stage, number, subject, text};
use crate::pulse::Verb;

#[derive(Default)]
pub struct Says {
    sent: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    late: Arc<AtomicU64>,
    ears: u64,
    /// One who never reads: what is dropped for it is nobody else's.
    _deaf: Option<Subscription>,
}

/// What the one who never reads may keep waiting.
const DEAF_CAPACITY: usize = 16;
/// One message in so many is larger than its subject's may be.
const TOO_LARGE_EVERY: u64 = 50;

pub async fn start(stage: &Arc<Stage>, buses: &[Bus], tasks: &mut Vec<JoinHandle<()>>) -> Says {
    let mut says = Says::default();
    let say = subject(&buses[0], "say", "all");
    let deaf = buses[1].subscribe(&Pattern::from(&say), DEAF_CAPACITY).await;
    says._deaf = Some(deaf.expect("the cluster is well"));
    for bus in &buses[1..] {
        let mut ear = bus.subscribe(&Pattern::from(&say), 4_096).await.expect("the cluster is well");
        let (stage, heard, late) = (stage.clone(), says.heard.clone(), says.late.clone());
        let pulse = stage.pulse(Verb::Publish, "an ear");
        says.ears += 1;
        tasks.push(tokio::spawn(async move {
            let (mut seen, mut last) = (HashSet::new(), 0);
            loop {
                let message = tokio::select! {
                    () = stage.stop.cancelled() => return,
                    message = ear.next() => message.expect("the bus is open"),
                };
                let line = text(&message.payload);
                let turn = number(line, 0);
                stage.verdict.refuse(!seen.insert(turn), "heard twice", || line.to_owned());
                late.fetch_add(u64::from(turn < last), Ordering::AcqRel);
                last = turn;
                heard.fetch_add(1, Ordering::AcqRel);
                pulse.beat(Duration::from_millis(number(line, 1)));
            }
        }));
    }
    let (stage, sent, bus) = (stage.clone(), says.sent.clone(), buses[0].clone());
    tasks.push(tokio::spawn(async move {
        let mut turn = 0;
        while stage.rest(PACE).await {
            turn += 1;
            if turn % TOO_LARGE_EVERY == 0 {
                let taken = bus.publish(&say, Bytes::from(vec![b'x'; 5_000]), Vec::new()).await;
                let refused = taken.is_err_and(|error| error.kind() == ErrorKind::Schema);
                stage.verdict.refuse(!refused, "too large, and taken", || turn.to_string());
                continue;
            }
            let line = format!("{turn} {}", stage.now_ms());
            match bus.publish(&say, Bytes::from(line), Vec::new()).await {
                Ok(()) => drop(sent.fetch_add(1, Ordering::AcqRel)),
                Err(error) => stage.error(Verb::Publish, error.kind()),
            }
        }
    }));
    says
}

impl Says {
    /// What was taken was heard, or is counted as lost.
    pub fn check(self, stage: &Stage) {
        let (sent, heard) = (self.sent.load(Ordering::Acquire), self.heard.load(Ordering::Acquire));
        let most = sent * self.ears;
        stage.verdict.refuse(heard > most, "heard and not sent", || format!("{heard} of {most}"));
        let late = self.late.load(Ordering::Acquire);
        println!(
            "publish: {sent} sent, {heard} of {most} heard, the others lost; {late} heard after a later one"
        );
    }
}
