// What Tab may put at the end of a line. Pure.

const DIRECTIONS = ["north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest", "up", "down", "in", "out"];
/** Commands whose first word after them is somebody. */
const TO_SOMEBODY = new Set(["whisper", "w", "tell", "look", "l", "examine", "ask", "mute", "unmute", "party", "kick", "summon", "teleport", "goto", "who"]);
/** Commands whose first word after them is a way out. */
const TO_SOMEWHERE = new Set(["go", "look", "l"]);
/** Commands whose first word after them is a thing to see. */
const TO_SOMETHING = new Set(["look", "l", "examine", "x"]);
/** More choices than this help nobody. */
export const CHOICES_MAX = 12;

/** The names of the exits of a room document, as directions are ordered. */
export function exitsOf(room) {
  return Object.keys(room?.exits ?? {}).sort((a, b) => rank(a) - rank(b));
}

function rank(direction) {
  const at = DIRECTIONS.indexOf(direction);
  return at < 0 ? DIRECTIONS.length : at;
}

/**
 * The choices for the word that ends at `caret`: `{ start, word, choices: [{ text, hint }] }`, none where nothing fits. A first word is a
 * command or a way out; a later one is somebody (here first, then whoever was heard), or a way out after `go` and `look`.
 */
export function complete(model, line, caret, { speaking = false } = {}) {
  const before = line.slice(0, caret);
  const start = before.lastIndexOf(" ") + 1;
  const slash = start === 0 && before.startsWith("/") ? 1 : 0;
  const word = before.slice(start + slash);
  const first = before.slice(0, start).trim().replace(/^\//, "").split(" ")[0].toLowerCase();
  const found = [];
  if (word !== "" || first !== "") {
    if (first === "" && !(speaking && !slash)) found.push(...commandChoices(model), ...exitChoices(model));
    else {
      if (TO_SOMEWHERE.has(first)) found.push(...exitChoices(model));
      if (TO_SOMETHING.has(first)) found.push(...Object.keys(model.room?.things ?? {}).map((text) => ({ text, hint: "here" })));
      if (first === "help") found.push(...commandChoices(model));
      if (word !== "" || TO_SOMEBODY.has(first)) found.push(...peopleChoices(model));
    }
  }
  return { start: start + slash, word, choices: matching(found, word) };
}

function matching(found, word) {
  const wanted = word.toLowerCase();
  const seen = new Set();
  const choices = found.filter(({ text }) => {
    const key = text.toLowerCase();
    return key.startsWith(wanted) && key !== wanted && !seen.has(key) && seen.add(key);
  });
  return choices.slice(0, CHOICES_MAX);
}

function commandChoices(model) {
  return Object.entries(model.commands ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([text, about]) => ({ text, hint: about?.usage ?? "" }));
}

function exitChoices(model) {
  return exitsOf(model.room).map((text) => ({ text, hint: model.room.exits[text]?.place ?? "" }));
}

function peopleChoices(model) {
  const here = [...model.occupants.values()].filter((one) => one.id !== model.self?.id).map(({ name }) => ({ text: name, hint: "here" }));
  const heard = [...model.known.keys()].reverse().filter((name) => name !== model.self?.name).map((text) => ({ text, hint: "heard of" }));
  return [...here, ...heard];
}

/** The beginning that all choices share; what Tab fills in before it asks. */
export function sharedStart(choices) {
  const texts = choices.map(({ text }) => text);
  let shared = texts[0] ?? "";
  for (const text of texts) {
    while (!text.toLowerCase().startsWith(shared.toLowerCase())) shared = shared.slice(0, -1);
  }
  return shared;
}
