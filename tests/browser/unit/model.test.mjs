// What frames do to what the page knows.

import assert from "node:assert/strict";
import { test } from "node:test";
import { apply, createModel, endAway, markAway, mergePatch } from "../../../web/js/model.js";

const ANN = { id: "a1", name: "Ann" };
const BEN = { id: "b1", name: "Ben", kind: "player", link_lost: false };
const AT = Date.parse("2026-11-20T10:00:00.000Z");
const position = { epoch: "e", seq: 1 };

function room(id = "harbour_quay", items = [BEN], more = {}) {
  return {
    type: "state", what: "room", position, character: ANN,
    room: { id, name: "Quay", description: "Wet.", zone: "harbour", exits: { east: { name: "east", place: "Market" } }, occupants: { items, total: items.length, next: null, ...more } },
  };
}

function event(kind, data, more = {}) {
  return { type: "event", kind, audience: "room", seq: 2, position, time: new Date(AT).toISOString(), from: BEN, text: `${kind} happened`, data, ...more };
}

function entered(more) {
  const model = createModel();
  apply(model, { type: "welcome", session: "s", resume: "r", character: ANN, recovered: false, position, limits: {} }, AT);
  apply(model, more ?? room(), AT);
  return model;
}

const names = (model) => [...model.occupants.values()].map(({ name }) => name);

test("a state replaces the room and prints it once", () => {
  const model = createModel();
  const first = apply(model, room(), AT);
  assert.deepEqual(first.lines.map(({ kind }) => kind), ["room"]);
  assert.deepEqual(first.ask, ["map"]);
  assert.equal(apply(model, room("harbour_quay", []), AT).lines.length, 0, "the same room again is no news");
  assert.deepEqual(names(model), []);
});

test("arrivals and departures apply by id, again without effect, and not from elsewhere", () => {
  const model = entered(room("harbour_quay", []));
  const arrive = event("event.entered", { room: "harbour_quay", occupant: BEN });
  apply(model, arrive, AT);
  apply(model, arrive, AT);
  assert.deepEqual([names(model), model.total], [["Ben"], 1]);
  apply(model, event("event.link_lost", { room: "harbour_quay", occupant: { id: "b1" } }), AT);
  assert.deepEqual(model.occupants.get("b1"), { ...BEN, link_lost: true });
  apply(model, event("event.back", { room: "harbour_quay", occupant: { id: "b1" } }), AT);
  assert.equal(model.occupants.get("b1").link_lost, false);
  apply(model, event("event.left", { room: "harbour_market", occupant: BEN }), AT);
  assert.deepEqual(names(model), ["Ben"], "of another room");
  const leave = event("event.left_world", { room: "harbour_quay", occupant: { id: "b1" } });
  apply(model, leave, AT);
  apply(model, leave, AT);
  assert.deepEqual([names(model), model.total], [[], 0]);
});

test("patches merge as RFC 7396 says", () => {
  assert.deepEqual(mergePatch({ a: 1, b: { c: 1, d: 2 } }, { a: null, b: { c: 3 }, e: [1] }), { b: { c: 3, d: 2 }, e: [1] });
  assert.deepEqual(mergePatch("x", { a: { b: null } }), { a: {} });
  assert.equal(mergePatch({ a: 1 }, 7), 7);
  const hostile = mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'));
  assert.equal(hostile.polluted, undefined);
  assert.equal({}.polluted, undefined);
});

test("a patch of the room changes its document, and people by id", () => {
  const model = entered();
  const out = apply(model, { type: "patch", target: "room", position, patch: { description: "Dry.", exits: { east: null, west: { place: "Stairs" } }, occupants: { b1: { pose: "asleep" }, c1: { name: "Cora" } } } }, AT);
  assert.equal(model.room.description, "Dry.");
  assert.deepEqual(Object.keys(model.room.exits), ["west"]);
  assert.equal(model.occupants.get("b1").pose, "asleep");
  assert.deepEqual(names(model), ["Ben", "Cora"]);
  assert.ok(out.changed.has("room"));
  assert.equal(apply(model, { type: "patch", target: "sky", position, patch: {} }, AT).changed.size, 0);
});

test("pages of people add up", () => {
  const model = entered(room("harbour_quay", [BEN], { total: 3, next: "p2" }));
  assert.deepEqual([model.total, model.next], [3, "p2"]);
  apply(model, { type: "state", what: "occupants", position, occupants: { items: [{ id: "c1", name: "Cora" }, { id: "d1", name: "Dov" }], total: 3, next: null } }, AT);
  assert.deepEqual([names(model), model.next], [["Ben", "Cora", "Dov"], null]);
});

test("unknown frames, kinds and fields change nothing", () => {
  const model = entered();
  const before = JSON.stringify({ ...model, occupants: [...model.occupants] });
  for (const frame of [null, 7, {}, { type: "weather-map" }, { type: "toString" }, { type: "state", what: "stars" }, { type: "patch", target: "room", position }]) {
    assert.equal(apply(model, frame, AT).lines.length, 0);
  }
  assert.equal(JSON.stringify({ ...model, occupants: [...model.occupants] }), before);
  const line = apply(model, event("chat.semaphore", {}, { colour: "red" }), AT).lines[0];
  assert.equal(line.text, "chat.semaphore happened", "what a later version says is still a line to print");
});

test("replies go to the tab they were asked from, speech to its channel", () => {
  const model = entered();
  const reply = (key, ok, done) => apply(model, { type: "reply", id: "c1", ok, text: "T: x", key, position }, AT, done).lines[0].channel;
  assert.equal(reply("who.list", true, { note: { channel: "party" } }), "party");
  assert.equal(reply("chat.global.self", true, { note: { channel: "all" } }), "global");
  assert.equal(reply("chat.global.refused", false, { note: { channel: "room" } }), "room");
});

test("what was missed stands between marks; what is live does not", () => {
  const model = entered();
  apply(model, event("chat.say", { message: "m" }), AT + 30);
  assert.equal(model.skew, 30);
  markAway(model, AT + 1000);
  apply(model, { type: "welcome", session: "s", recovered: true, position, character: ANN }, AT + 9000);
  const at = (ms) => ({ time: new Date(AT + ms).toISOString() });
  const missed = apply(model, event("chat.say", { message: "m" }, at(3000)), AT + 9010).lines;
  assert.deepEqual(missed.map(({ kind, missed: was }) => [kind, was ?? null]), [["divider", null], ["chat.say", true]]);
  assert.deepEqual(apply(model, event("chat.say", {}, at(4000)), AT + 9011).lines.map(({ kind }) => kind), ["chat.say"], "one mark is enough");
  const live = apply(model, event("chat.say", {}, at(9500)), AT + 9540).lines;
  assert.deepEqual(live.map(({ kind, missed: was }) => [kind, was ?? null]), [["divider end", null], ["chat.say", false]]);
  assert.equal(model.away, null);
});

test("a clock that is off by hours does not turn live lines into missed ones", () => {
  for (const off of [-7_200_000, 7_200_000]) {
    const model = entered();
    apply(model, event("chat.say", {}), AT + off + 20);
    markAway(model, AT + off + 1000);
    apply(model, { type: "welcome", session: "s", recovered: true, position, character: ANN }, AT + off + 2000);
    const at = (ms) => ({ time: new Date(AT + ms).toISOString() });
    assert.equal(apply(model, event("chat.say", {}, at(1500)), AT + off + 2010).lines.at(-1).missed, true);
    assert.equal(apply(model, event("chat.say", {}, at(2100)), AT + off + 2120).lines.at(-1).missed, false);
  }
});

test("with nothing missed there is no mark; without recovery it is said", () => {
  const model = entered();
  markAway(model, AT);
  apply(model, { type: "welcome", session: "s", recovered: true, position, character: ANN }, AT + 500);
  assert.deepEqual(endAway(model), []);
  const why = { too_old: /^You were away/, epoch: /^The server has begun/, no_position: /^This page does not know/, constructor: /^$/, later: /^$/ };
  for (const [reason, words] of Object.entries(why)) {
    markAway(model, AT + 1000);
    const lost = apply(model, { type: "welcome", session: "s", recovered: false, reason, position, character: ANN }, AT + 2000).lines;
    assert.equal(lost[0].kind, "divider");
    assert.match(lost[0].detail, words);
  }
});
