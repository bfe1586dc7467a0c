//! Parties: who is in one hears it wherever they are. The members of a party are a fact that every zone is told;
//! whether a character is in one is its own zone's to decide, and follows the fact.

use tidings_protocol::{Audience, CharacterId, PartyId, Text};

use crate::commands::{self, Call, Done, Ran, teleport};
use crate::effect::Change;
use crate::input::{Fact, Party, Present, Timer};
use crate::limits::{INVITATION_MS, PARTY_MEMBERS_MAX};
use crate::names::same;
use crate::output::{Event, RemoteAct};
use crate::post;
use crate::presence;
use crate::remote;
use crate::state::{Invitation, Pending};
use crate::text::{plain, seconds, t, t1};
use crate::turn::Turn;

fn members(turn: &Turn<'_>, party: PartyId) -> Vec<CharacterId> {
    turn.zone.state.parties.get(&party).map(|party| party.members.clone()).unwrap_or_default()
}

/// The party one is in and its members; a party that nobody knows of holds oneself.
fn mine(turn: &Turn<'_>, who: CharacterId) -> Option<(PartyId, Vec<CharacterId>)> {
    let party = turn.person(who)?.party?;
    let members = members(turn, party);
    Some((party, if members.contains(&who) { members } else { vec![who] }))
}

/// Sets the members here and tells every other zone.
fn set(turn: &mut Turn<'_>, party: PartyId, members: Vec<CharacterId>) {
    let known = turn.zone.state.parties.get(&party).map(|party| &party.made);
    let now = Party { made: turn.made(known), members };
    post::post_to_all(turn, &Fact::Party(party, now.clone()));
    told(turn, party, now);
}

/// A party's members are these, unless a later word is known. Every zone knows every party: whoever accepts an
/// invitation does so where they are.
pub(crate) fn told(turn: &mut Turn<'_>, id: PartyId, party: Party) {
    if turn.zone.state.parties.get(&id).is_none_or(|known| known.made < party.made) {
        turn.apply(Change::Party(id, party));
        answer_invitations(turn, id);
        follow(turn, id);
    }
}

/// Invitations that were taken up, and those of a party that is no more, wait for nothing.
fn answer_invitations(turn: &mut Turn<'_>, party: PartyId) {
    let members = members(turn, party);
    let answered = |pending: &&Pending| {
        pending.party == party && (members.is_empty() || members.contains(&pending.whom))
    };
    let answered: Vec<CharacterId> =
        turn.zone.state.invitations.values().filter(answered).map(|pending| pending.whom).collect();
    for whom in answered {
        turn.timer(Timer::Invitation(party, whom), None);
        turn.apply(Change::Pending(invitation_key(party, whom), None));
    }
}

/// People of this zone join or leave a party as its members say.
fn follow(turn: &mut Turn<'_>, party: PartyId) {
    let members = members(turn, party);
    let people = turn.zone.state.everyone();
    let changes: Vec<(CharacterId, bool)> = people
        .filter(|person| person.frozen.is_none())
        .filter_map(|person| match (person.party == Some(party), members.contains(&person.id)) {
            (true, false) => Some((person.id, false)),
            (false, true) if person.party.is_none() => Some((person.id, true)),
            _ => None,
        })
        .collect();
    for (id, joins) in changes {
        let before = turn.zone.audiences(id);
        turn.apply(Change::Joined(id, joins.then_some(party)));
        presence::audiences_changed(turn, id, before);
    }
}

fn tell_party(turn: &mut Turn<'_>, call: Option<&Call<'_>>, party: PartyId, text: Text, own: Option<Text>) {
    turn.emit(Event {
        audience: Some(Audience::Party(party)),
        kind: "event.party".to_owned(),
        origin: call.filter(|_| own.is_some()).map(|call| call.origin.clone()),
        text: Some(text),
        own,
        ..Event::default()
    });
}

fn invitation_key(party: PartyId, whom: CharacterId) -> String {
    format!("{party}.{whom}")
}

/// `party invite <player>`.
pub(crate) fn invite(turn: &mut Turn<'_>, call: &Call<'_>, name: &str) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    let my_name = me.name.clone();
    if same(name, &my_name) {
        return Err(t("party.invite_self"));
    }
    let Some(target) = turn.find_present(name).cloned() else {
        return commands::not_online(turn, call, name);
    };
    let (party, members) = match mine(turn, call.me) {
        Some(mine) => mine,
        None => {
            let bits = turn.chance();
            (PartyId::new(u64::try_from(turn.now).unwrap_or(0), bits), Vec::new())
        }
    };
    may_invite(turn, call, &target, party, &members)?;
    post::has_room(turn)?;
    if members.is_empty() {
        set(turn, party, vec![call.me]);
    }
    let until = turn.now + INVITATION_MS;
    let pending = Pending { party, by: call.me, whom: target.id, name: target.name.clone(), until };
    turn.apply(Change::Pending(invitation_key(party, target.id), Some(pending)));
    turn.timer(Timer::Invitation(party, target.id), Some(until));
    // Those who muted the inviter hear nothing of it: the line has an author.
    let account = turn.person(call.me).map(|me| me.account);
    remote::reach(turn, &target, RemoteAct::Invited { party, by: my_name, account, until });
    let own = t1("party.invite_sent", "name", target.name.as_str());
    Ok(teleport::done(turn, call, own))
}

fn may_invite(
    turn: &Turn<'_>,
    call: &Call<'_>,
    target: &Present,
    party: PartyId,
    members: &[CharacterId],
) -> Result<(), Text> {
    if members.first().is_some_and(|leader| *leader != call.me) {
        return Err(t("party.not_leader"));
    }
    if members.contains(&target.id) {
        return Err(t1("party.invite_member", "name", target.name.as_str()));
    }
    if members.len() >= PARTY_MEMBERS_MAX {
        return Err(t1("party.full", "n", PARTY_MEMBERS_MAX.to_string()));
    }
    if turn.zone.state.invitations.contains_key(&invitation_key(party, target.id)) {
        return Err(t1("party.invite_pending", "name", target.name.as_str()));
    }
    Ok(())
}

/// Somebody of this zone is invited. Those who want no invitations get none.
pub(crate) fn invited(
    turn: &mut Turn<'_>,
    whom: CharacterId,
    from: Option<crate::output::Actor>,
    by: &str,
    party: PartyId,
    until: i64,
) {
    let Some(person) = turn.person(whom) else { return };
    let account = from.as_ref().and_then(|actor| actor.account);
    let muted = account.is_some_and(|account| person.mutes_account(account, "", turn.now));
    if muted || person.kept.settings.no_invitations || until <= turn.now {
        return;
    }
    turn.apply(Change::Invited(whom, Invitation { party, by: by.to_owned(), until }));
    let text = t1("party.invited", "name", by).with("time", seconds(until - turn.now));
    turn.tell(whom, "event.party_invitation", from, text);
}

/// A character stays that was to go: what its party became meanwhile is so for it too.
pub(crate) fn stays(turn: &mut Turn<'_>, id: CharacterId) {
    if let Some(party) = turn.person(id).and_then(|person| person.party) {
        follow(turn, party);
    }
}

/// An invitation was not taken up in time.
pub(crate) fn invitation_over(turn: &mut Turn<'_>, party: PartyId, whom: CharacterId) {
    let key = invitation_key(party, whom);
    let Some(pending) = turn.zone.state.invitations.get(&key).cloned() else { return };
    turn.apply(Change::Pending(key, None));
    if turn.zone.owns(pending.by) {
        turn.tell(pending.by, "event.party", None, t1("party.expired", "name", pending.name));
    }
}

/// `party accept [player]`.
pub(crate) fn accept(turn: &mut Turn<'_>, call: &Call<'_>, by: &str) -> Ran {
    let me = turn.person(call.me).ok_or_else(|| t("refuse.session"))?;
    if me.party.is_some() {
        return Err(t("party.in_one"));
    }
    let parties = &turn.zone.state.parties;
    let disbanded = |party: &PartyId| parties.get(party).is_some_and(|party| party.members.is_empty());
    let live = |invitation: &&Invitation| invitation.until > turn.now && !disbanded(&invitation.party);
    let live = me.invited.iter().rev().filter(live);
    let fits = |invitation: &&Invitation| by.is_empty() || same(by, &invitation.by);
    let Some(Invitation { party, by, .. }) = { live }.find(fits).cloned() else {
        return Err(t("party.no_invitation"));
    };
    let name = me.name.clone();
    let mut members = members(turn, party);
    if members.is_empty() {
        members.extend(turn.find_present(&by).map(|leader| leader.id));
    }
    if members.len() >= PARTY_MEMBERS_MAX {
        return Err(t1("party.full", "n", PARTY_MEMBERS_MAX.to_string()));
    }
    post::has_room(turn)?;
    turn.apply(Change::Uninvited(call.me, None));
    members.push(call.me);
    set(turn, party, members);
    let own = t("party.joined_self");
    tell_party(turn, Some(call), party, t1("party.joined", "name", name), Some(own.clone()));
    Ok(Done::InLog(own))
}

/// `party leave`.
pub(crate) fn leave(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    if mine(turn, call.me).is_none() {
        return Err(t("party.not_in"));
    }
    post::has_room(turn)?;
    abandon(turn, call.me);
    Ok(teleport::done(turn, call, t("party.left_self")))
}

/// A character leaves its party, because it wants to or leaves the world.
pub(crate) fn abandon(turn: &mut Turn<'_>, id: CharacterId) {
    let Some((party, members)) = mine(turn, id) else { return };
    let Some(name) = turn.person(id).map(|person| person.name.clone()) else { return };
    let rest: Vec<CharacterId> = members.into_iter().filter(|member| *member != id).collect();
    let alone = rest.is_empty();
    set(turn, party, rest);
    if !alone {
        tell_party(turn, None, party, t1("party.left", "name", name), None);
    }
}

/// `party kick <player>`.
pub(crate) fn kick(turn: &mut Turn<'_>, call: &Call<'_>, name: &str) -> Ran {
    let (party, members) = led_by_me(turn, call)?;
    let Some(target) = turn.find_present(name).cloned() else {
        return commands::not_online(turn, call, name);
    };
    if target.id == call.me {
        return leave(turn, call);
    }
    if !members.contains(&target.id) {
        return Err(t1("party.not_member", "name", target.name));
    }
    post::has_room(turn)?;
    set(turn, party, members.into_iter().filter(|member| *member != target.id).collect());
    turn.tell(target.id, "event.party", None, t("party.kicked"));
    tell_party_but(turn, call, party, t1("party.left", "name", target.name.as_str()));
    let own = t1("party.kicked_self", "name", target.name);
    Ok(teleport::done(turn, call, own))
}

fn tell_party_but(turn: &mut Turn<'_>, call: &Call<'_>, party: PartyId, text: Text) {
    turn.emit(Event {
        audience: Some(Audience::Party(party)),
        kind: "event.party".to_owned(),
        text: Some(text),
        except: vec![call.me],
        ..Event::default()
    });
}

/// `party disband`.
pub(crate) fn disband(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (party, _) = led_by_me(turn, call)?;
    post::has_room(turn)?;
    let own = t("party.disbanded_self");
    tell_party(turn, Some(call), party, t("party.disbanded"), Some(own.clone()));
    set(turn, party, Vec::new());
    Ok(Done::InLog(own))
}

fn led_by_me(turn: &Turn<'_>, call: &Call<'_>) -> Result<(PartyId, Vec<CharacterId>), Text> {
    let (party, members) = mine(turn, call.me).ok_or_else(|| t("party.not_in"))?;
    if members.first() == Some(&call.me) { Ok((party, members)) } else { Err(t("party.not_leader")) }
}

/// `party list`.
pub(crate) fn list(turn: &Turn<'_>, call: &Call<'_>) -> Ran {
    let (_, members) = mine(turn, call.me).ok_or_else(|| t("party.not_in"))?;
    let name = |(at, id): (usize, &CharacterId)| {
        let present = turn.zone.known.by_id(*id);
        let name = present.map_or_else(|| "?".to_owned(), |present| present.name.clone());
        let away = present.is_none_or(|present| present.link_lost);
        match (at == 0, away) {
            (true, false) => t1("party.leader", "name", name),
            (true, true) => t1("party.leader_away", "name", name),
            (false, true) => t1("party.away", "name", name),
            (false, false) => plain(name),
        }
    };
    let names: Vec<Text> = members.iter().enumerate().map(name).collect();
    Ok(Done::Read(t1("party.list", "list", turn.row(call.me, names))))
}
