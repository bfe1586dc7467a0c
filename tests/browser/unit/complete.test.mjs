// Completion: commands, ways out, people.

import assert from "node:assert/strict";
import { test } from "node:test";
import { CHOICES_MAX, complete, sharedStart } from "../../../web/js/complete.js";
import { createModel } from "../../../web/js/model.js";

function model() {
  const made = createModel();
  made.self = { id: "a", name: "Ann" };
  made.commands = { say: { usage: "say <words>" }, settings: {}, whisper: {}, who: {}, go: {}, look: {} };
  made.room = { id: "r", exits: { west: { place: "Stairs" }, east: {} }, things: { wicks: {} } };
  made.occupants = new Map([["a", { id: "a", name: "Ann" }], ["b", { id: "b", name: "Ben" }], ["o", { id: "o", name: "Old Tam" }]]);
  made.known = new Map([["Bea", true], ["Ben", true]]);
  return made;
}

// The caret is at `|`.
function check(line, expected, options) {
  const caret = line.indexOf("|");
  const found = complete(model(), line.replace("|", ""), caret, options);
  assert.deepEqual(found.choices.map(({ text }) => text), expected, line);
  return found;
}

test("the first word is a command or a way out", () => {
  check("s|", ["say", "settings"]);
  check("w|", ["whisper", "who", "west"]);
  check("/wh|", ["whisper", "who"]);
  check("|", []);
  check("zz|", []);
});

test("later words are people, here before heard of, never oneself", () => {
  check("whisper |", ["Ben", "Old Tam", "Bea"]);
  check("whisper b|", ["Ben", "Bea"]);
  check("say hello be|", ["Ben", "Bea"]);
  check("say |", [], "after a free text an empty word offers nothing");
  check("whisper a|", []);
});

test("after go come the ways out, after help the commands", () => {
  check("go |", ["east", "west"]);
  check("look w|", ["west", "wicks"]);
  check("examine wi|", ["wicks"]);
  check("help wh|", ["whisper", "who"]);
});

test("a line that is spoken completes people, and commands after a slash", () => {
  check("w|", [], { speaking: true });
  check("b|", ["Ben", "Bea"], { speaking: true });
  check("/w|", ["whisper", "who", "west"], { speaking: true });
});

test("the word before the caret is completed, wherever that is", () => {
  const found = check("whisper b| good evening", ["Ben", "Bea"]);
  assert.deepEqual([found.start, found.word], [8, "b"]);
});

test("a crowd is cut", () => {
  const crowd = model();
  for (let at = 0; at < 40; at += 1) crowd.known.set(`Guest${at}`, true);
  assert.equal(complete(crowd, "whisper g", 9).choices.length, CHOICES_MAX);
});

test("the shared start of the choices", () => {
  assert.equal(sharedStart([{ text: "whisper" }, { text: "who" }]), "wh");
  assert.equal(sharedStart([{ text: "a" }, { text: "b" }]), "");
  assert.equal(sharedStart([]), "");
});
