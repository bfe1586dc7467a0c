// Lines of the log: their channel, and text that cannot do anything.

import assert from "node:assert/strict";
import { test } from "node:test";
import { channelOf, inWords, safeText, splitSpeech, tintOf } from "../../../web/js/lines.js";

test("a kind or a key names its channel", () => {
  const cases = {
    "chat.say": "room", "chat.emote": "room", "chat.say.self": "room", "chat.local": "local", "chat.global.self": "global",
    "chat.whisper.self": "whisper", "chat.party": "party", "chat.system": "system", "chat.staff": "staff", "chat.unheard-of": "room",
    "event.entered": "room", "who.online": null, "": null,
  };
  for (const [name, channel] of Object.entries(cases)) assert.equal(channelOf(name), channel, name);
  assert.equal(channelOf(undefined), null);
});

test("control characters are shown and do nothing", () => {
  assert.equal(safeText("a\u001b[31mred\u0007"), "a\u241b[31mred\u2407");
  assert.equal(safeText("one\r\ntwo\nthree\ttab\u007f"), "one\ntwo\nthree    tab\u2421");
  assert.equal(safeText("x\u202eyz\u2066\u200b\ufeff"), "x<U+202E>yz<U+2066><U+200B><U+FEFF>");
  assert.equal(safeText("\u009b2J"), "<U+009B>2J");
  assert.equal(safeText("Zoë 👩‍🚀 שלום"), "Zoë 👩‍🚀 שלום", "letters of every language, and joined emoji, stay as they are");
  assert.equal(safeText(null), "");
});

test("no control character of Unicode's first planes gets through", () => {
  for (let code = 0; code < 0xa0; code += 1) {
    const shown = safeText(String.fromCodePoint(code));
    if (code !== 10) assert.doesNotMatch(shown, /\p{Cc}/u, `U+${code.toString(16)}`);
  }
});

test("speech is split only where the line ends with what was said", () => {
  assert.deepEqual(splitSpeech("Ann says: hello", "hello"), ["Ann says: ", "hello"]);
  assert.deepEqual(splitSpeech("Ann smiles.", undefined), ["Ann smiles.", ""]);
  assert.deepEqual(splitSpeech("hello", "hello"), ["hello", ""]);
  assert.deepEqual(splitSpeech("Ann says: hello", ""), ["Ann says: hello", ""]);
});

test("a name keeps its tint, whatever its case", () => {
  for (const name of ["Ann", "Ben", "Zoë", "李"]) {
    assert.equal(tintOf(name), tintOf(name.toUpperCase()));
    assert.ok(tintOf(name) >= 0 && tintOf(name) < 6);
  }
});

test("lists read as words", () => {
  assert.equal(inWords([]), "");
  assert.equal(inWords(["a"]), "a");
  assert.equal(inWords(["a", "b"]), "a and b");
  assert.equal(inWords(["a", "b", "c"]), "a, b and c");
});
