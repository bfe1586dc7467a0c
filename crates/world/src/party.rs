//! Parties: who is in one hears it wherever they are. Who joins and who leaves is a fact that every zone is told;
//! whether a character is in one is its own zone's to decide, and follows the fact. Facts of several zones may cross:
//! they are words on one character each, so that two who join at once are both in it.

use tidings_protocol::{Audience, CharacterId, PartyId, Text};

use crate::commands::{self, Call, Done, Ran, teleport};
use crate::effect::Change;
use crate::input::{Fact, Made, Membership, Party, Present, Timer};
use crate::limits::{INVITATION_MS, PARTY_LEFT_MAX, PARTY_MEMBERS_MAX};
use crate::names::same;
use crate::output::{Event, RemoteAct};
use crate::post;
use crate::presence;
use crate::remote;
use crate::state::{Invitation, Pending};
use crate::text::{plain, seconds, t, t1};
use crate::turn::Turn;

impl Party {
    /// Those who are in it, in the order they joined, the leader first.
    fn members(&self) -> Vec<CharacterId> {
        let mut members: Vec<_> = self.words.iter().filter(|(_, word)| word.member).collect();
        members.sort_by_key(|(_, word)| &word.made);
        members.into_iter().map(|(id, _)| *id).collect()
    }

    /// Whether a character is in it.
    pub(crate) fn has(&self, who: CharacterId) -> bool {
        self.words.get(&who).is_some_and(|word| word.member)
    }

    /// Where nobody is in it: the last word on it.
    pub(crate) fn gone_since(&self) -> Option<&Made> {
        let gone = self.words.values().all(|word| !word.member);
        self.last().filter(|_| gone)
    }

    fn last(&self) -> Option<&Made> {
        self.words.values().map(|word| &word.made).max()
    }

    /// Whether there is a later word among these.
    fn learns(&self, words: &Self) -> bool {
        let later = |(who, word): (_, &Membership)| {
            self.words.get(who).is_none_or(|known: &Membership| known.made < word.made)
        };
        words.words.iter().any(later)
    }

    /// Takes the later words among these.
    pub(crate) fn hear(&mut self, words: &Self) {
        for (who, word) in &words.words {
            if self.words.get(who).is_none_or(|known| known.made < word.made) {
                self.words.insert(*who, word.clone());
            }
        }
        let mut left: Vec<_> = self.words.iter().filter(|(_, word)| !word.member).collect();
        left.sort_by_key(|(_, word)| &word.made);
        let over = left.len().saturating_sub(PARTY_LEFT_MAX);
        let over: Vec<CharacterId> = left.into_iter().take(over).map(|(who, _)| *who).collect();
        self.words.retain(|who, _| !over.contains(who));
    }
}

fn members(turn: &Turn<'_>, party: PartyId) -> Vec<CharacterId> {
    turn.zone.state.parties.get(&party).map(Party::members).unwrap_or_default()
}

/// The party one is in and its members; a party that nobody knows of holds oneself.
fn mine(turn: &Turn<'_>, who: CharacterId) -> Option<(PartyId, Vec<CharacterId>)> {
    let party = turn.person(who)?.party?;
    let members = members(turn, party);
    Some((party, if members.contains(&who) { members } else { vec![who] }))
}

/// Says of these that they are in a party from now on, or not, here and in every other zone. It is later than all
/// that is known of the party: who joins comes after those who are in it.
fn set(turn: &mut Turn<'_>, party: PartyId, who: &[CharacterId], member: bool) {
    let known = turn.zone.state.parties.get(&party).and_then(Party::last);
    let made = turn.made(known);
    let word = |who: &CharacterId| (*who, Membership { made: made.clone(), member });
    let words = Party { words: who.iter().map(word).collect() };
    post::post_to_all(turn, &Fact::Party(party, words.clone()));
    told(turn, party, words);
}

/// Words on a party's members, of which those count that are later than what is known. Every zone knows every party:
/// whoever accepts an invitation does so where they are.
pub(crate) fn told(turn: &mut Turn<'_>, id: PartyId, words: Party) {
    if turn.zone.state.parties.get(&id).is_none_or(|known| known.learns(&words)) {
        turn.apply(Change::Party(id, words));
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
        kind: "event.party".into(),
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
        set(turn, party, &[call.me], true);
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
    let disbanded = |party: &PartyId| parties.get(party).is_some_and(|party| party.gone_since().is_some());
    let live = |invitation: &&Invitation| invitation.until > turn.now && !disbanded(&invitation.party);
    let mut live = me.invited.iter().filter(live);
    let fits = |invitation: &&Invitation| by.is_empty() || same(by, &invitation.by);
    let Some(Invitation { party, .. }) = live.rfind(fits).cloned() else {
        return Err(t("party.no_invitation"));
    };
    let name = me.name.clone();
    if members(turn, party).len() >= PARTY_MEMBERS_MAX {
        return Err(t1("party.full", "n", PARTY_MEMBERS_MAX.to_string()));
    }
    post::has_room(turn)?;
    turn.apply(Change::Uninvited(call.me, None));
    set(turn, party, &[call.me], true);
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
    set(turn, party, &[id], false);
    if members.iter().any(|member| *member != id) {
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
    set(turn, party, &[target.id], false);
    turn.tell(target.id, "event.party", None, t("party.kicked"));
    tell_party_but(turn, call, party, t1("party.left", "name", target.name.as_str()));
    let own = t1("party.kicked_self", "name", target.name);
    Ok(teleport::done(turn, call, own))
}

fn tell_party_but(turn: &mut Turn<'_>, call: &Call<'_>, party: PartyId, text: Text) {
    turn.emit(Event {
        audience: Some(Audience::Party(party)),
        kind: "event.party".into(),
        text: Some(text),
        except: vec![call.me],
        ..Event::default()
    });
}

/// `party disband`.
pub(crate) fn disband(turn: &mut Turn<'_>, call: &Call<'_>) -> Ran {
    let (party, members) = led_by_me(turn, call)?;
    post::has_room(turn)?;
    let own = t("party.disbanded_self");
    tell_party(turn, Some(call), party, t("party.disbanded"), Some(own.clone()));
    set(turn, party, &members, false);
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
