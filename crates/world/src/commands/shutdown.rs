//! `shutdown [seconds|cancel]`: announces that the server goes down, and takes it down.

use tidings_protocol::Text;

use super::{Call, Done, Ran, Spec};
use crate::effect::Change;
use crate::input::{Role, Timer};
use crate::output::{Act, Event};
use crate::text::{seconds, t, t1};
use crate::turn::Turn;

pub(crate) const SPEC: Spec = Spec {
    names: &["shutdown"],
    usage: "shutdown [seconds|cancel]",
    summary: "Takes the server down after a warning to everyone.",
    see: &["system"],
    role: Role::Admin,
    run,
};

/// Without a number.
const SECONDS: i64 = 60;
/// The longest warning: a day.
const SECONDS_MAX: i64 = 86_400;
/// When people are reminded, in milliseconds before the end.
const REMINDERS_MS: [i64; 6] = [600_000, 300_000, 60_000, 30_000, 10_000, 5_000];

fn run(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if call.rest.eq_ignore_ascii_case("cancel") {
        return cancel(turn, call);
    }
    let wrong = || t1("staff.seconds", "n", SECONDS_MAX.to_string());
    let after = match call.rest {
        "" => SECONDS,
        text => text.parse::<i64>().ok().filter(|n| (0..=SECONDS_MAX).contains(n)).ok_or_else(wrong)?,
    };
    let at = turn.now + after * 1_000;
    turn.apply(Change::Shutdown(Some(at)));
    turn.audit(call.me, "shutdown", "", &after.to_string());
    announce(turn, t1("staff.shutdown", "time", seconds(after * 1_000)));
    next(turn, at);
    Ok(Done::Changed(t1("staff.shutdown_set", "time", seconds(after * 1_000))))
}

fn cancel(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    turn.zone.state.shutdown.ok_or_else(|| t("staff.shutdown_none"))?;
    turn.apply(Change::Shutdown(None));
    turn.timer(Timer::Shutdown, None);
    turn.audit(call.me, "shutdown", "", "cancel");
    announce(turn, t("staff.shutdown_cancelled"));
    Ok(Done::Changed(t("staff.shutdown_unset")))
}

/// A reminder is due, or the end.
pub(crate) fn due(turn: &mut Turn<'_>) {
    let Some(at) = turn.zone.state.shutdown else { return };
    let left = at - turn.now;
    if left > 0 {
        announce(turn, t1("staff.shutdown", "time", seconds(left)));
        return next(turn, at);
    }
    turn.apply(Change::Shutdown(None));
    announce(turn, t("staff.shutdown_now"));
    turn.act(Act::Shutdown);
}

fn next(turn: &mut Turn<'_>, at: i64) {
    let left = at - turn.now;
    let reminder = REMINDERS_MS.into_iter().find(|ms| *ms < left).unwrap_or(0);
    turn.timer(Timer::Shutdown, Some(at - reminder));
}

fn announce(turn: &mut Turn<'_>, text: Text) {
    let event = Event {
        audience: Some(turn.world()),
        kind: "chat.system".to_owned(),
        text: Some(t1("chat.system", "text", text)),
        always: true,
        channel: "system".to_owned(),
        ..Event::default()
    };
    turn.emit(event);
}
