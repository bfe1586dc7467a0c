//! `shutdown [seconds|cancel]`: announces that the server goes down, and takes it down.

use tidings_protocol::Text;

use super::{Call, Done, Ran, Spec};
use crate::effect::Change;
use crate::input::{Fact, Millis, Plan, Role, Timer};
use crate::output::{Act, Event};
use crate::post;
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
    post::has_room(turn)?;
    turn.audit(call.me, "shutdown", "", &after.to_string());
    plan(turn, Some(turn.now + after * 1_000));
    announce(turn, t1("staff.shutdown", "time", seconds(after * 1_000)));
    Ok(Done::Changed(t1("staff.shutdown_set", "time", seconds(after * 1_000))))
}

fn cancel(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    planned(turn).ok_or_else(|| t("staff.shutdown_none"))?;
    post::has_room(turn)?;
    turn.audit(call.me, "shutdown", "", "cancel");
    plan(turn, None);
    announce(turn, t("staff.shutdown_cancelled"));
    Ok(Done::Changed(t("staff.shutdown_unset")))
}

/// When the server goes down, as far as is known here.
pub(crate) fn planned(turn: &Turn<'_>) -> Option<Millis> {
    turn.zone.state.shutdown.as_ref().and_then(|plan| plan.at)
}

/// Makes a plan, here and in every other zone: whoever may can ask about it and cancel it from anywhere.
fn plan(turn: &mut Turn<'_>, at: Option<Millis>) {
    let known = turn.zone.state.shutdown.as_ref().map(|plan| &plan.made);
    let plan = Plan { made: turn.made(known), at };
    post::post_to_all(turn, &Fact::Shutdown(plan.clone()));
    told(turn, plan);
}

/// A plan that was made, here or elsewhere. One that is older than what is known changes nothing.
pub(crate) fn told(turn: &mut Turn<'_>, plan: Plan) {
    let known = turn.zone.state.shutdown.as_ref();
    if known.is_some_and(|known| known.made >= plan.made) {
        return;
    }
    turn.apply(Change::Shutdown(plan));
    next(turn);
}

/// After a restore: the plan holds, unless its time has passed meanwhile. The server was down then.
pub(crate) fn wake(turn: &mut Turn<'_>) {
    match planned(turn) {
        Some(at) if at <= turn.now => over(turn),
        _ => next(turn),
    }
}

/// A reminder is due, or the end: the zone where it was planned tells everyone, every zone stops its own host.
pub(crate) fn due(turn: &mut Turn<'_>) {
    let Some(at) = planned(turn) else { return };
    let left = at - turn.now;
    if left > 0 {
        announce_if_ours(turn, t1("staff.shutdown", "time", seconds(left)));
        return next(turn);
    }
    announce_if_ours(turn, t("staff.shutdown_now"));
    over(turn);
    turn.act(Act::Shutdown);
}

fn over(turn: &mut Turn<'_>) {
    if let Some(plan) = turn.zone.state.shutdown.clone() {
        turn.apply(Change::Shutdown(Plan { at: None, ..plan }));
    }
}

fn is_ours(turn: &Turn<'_>) -> bool {
    turn.zone.state.shutdown.as_ref().is_some_and(|plan| plan.made.by == turn.zone.id)
}

/// Sets the timer: to the next reminder where this zone reminds, to the end where another does.
fn next(turn: &mut Turn<'_>) {
    let ours = is_ours(turn);
    let at = planned(turn).map(|at| {
        let left = at - turn.now;
        at - REMINDERS_MS.into_iter().find(|ms| ours && *ms < left).unwrap_or(0)
    });
    turn.timer(Timer::Shutdown, at);
}

fn announce_if_ours(turn: &mut Turn<'_>, text: Text) {
    if is_ours(turn) {
        announce(turn, text);
    }
}

fn announce(turn: &mut Turn<'_>, text: Text) {
    let event = Event {
        audience: Some(turn.world()),
        kind: "chat.system".into(),
        text: Some(t1("chat.system", "text", text)),
        always: true,
        channel: "system".into(),
        ..Event::default()
    };
    turn.emit(event);
}
