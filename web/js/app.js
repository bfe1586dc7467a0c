// Where the page is put together: the session, the connection, the model and the views. Read this first. A frame goes from
// `net/connection.js` through `model.js`, which says what changed, to the views, which draw it.

import { byId } from "./dom.js";
import { chime } from "./chime.js";
import * as keep from "./keep.js";
import { channelOf, safeText } from "./lines.js";
import { apply, createModel, endAway, markAway } from "./model.js";
import * as settings from "./settings.js";
import { Connection } from "./net/connection.js";
import { Refused, Session, Unreachable } from "./net/session.js";
import { makeHelp, makeSettings } from "./views/dialogs.js";
import { Door } from "./views/door.js";
import { Log } from "./views/log.js";
import { MapView } from "./views/map.js";
import { Place } from "./views/place.js";
import { Prompt } from "./views/prompt.js";
import { Status } from "./views/status.js";
import { Tabs } from "./views/tabs.js";

/** Quiet for so long after coming back means that everything missed has arrived, in milliseconds. */
const QUIET_MS = 1500;
/** How often a tab writes down where it is, in milliseconds; also when it is hidden or left. */
const KEEP_MS = 4000;

const session = new Session();
let model = createModel();
// What opens the socket: the secret of a session that goes on, or the name of the character that enters.
let way = { secret: null, character: undefined };
let quiet = null;
let dirty = false;
let redraw = null;
let unseen = 0;
const stale = new Set();

const log = new Log(byId("log"), byId("new-lines"));
const place = new Place({ send, insert: (text) => prompt.insert(text), morePeople: () => connection.ask("occupants", model.next) });
const map = new MapView({ send });
const status = new Status({ again: enterAgain, door: toDoor, retry: () => connection.start() });
const prompt = new Prompt({
  form: byId("prompt"), input: byId("command"), choices: byId("choices"), mode: byId("prompt-mode"), name: byId("prompt-name"),
  model: () => model, onLine: send,
});
const tabs = new Tabs(byId("tabs"), byId("panel"), (channel) => {
  log.show(channel);
  prompt.speak(channel);
});
const connection = new Connection({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  hello, onFrame, onPhase: (phase) => {
    status.show(phase);
    if (phase.name === "ended") onEnd(phase);
  }, onLost: () => markAway(model, Date.now()),
});
const door = new Door({ guest, signIn, signUp, enter, create, signOut });
const dialogs = { settings: makeSettings(), help: makeHelp() };

// ---- the door ----

async function guest() {
  await session.guest();
  enter(undefined);
}

async function signIn(name, password) {
  await session.signIn(name, password);
  await choose();
}

async function signUp(name, password) {
  await session.signUp(name, password);
  await choose();
}

async function signOut() {
  await session.signOut();
  door.welcome().focus();
}

async function create(name) {
  await session.createCharacter(name);
  enter(name);
}

async function choose(message) {
  door.characters(await session.characters(), message);
}

/** Enters the world anew as `character`; without a name, as the account's only one. */
function enter(character) {
  way = { secret: null, character };
  keep.forget();
  model = createModel();
  place.clear();
  toWorld();
  connection.stop();
  connection.start();
}

function enterAgain() {
  enter(model.self?.name ?? way.character);
}

function toWorld() {
  byId("door").hidden = true;
  byId("world").hidden = false;
  byId("command").focus();
}

/** Back at the door: who is signed in chooses a character, others choose how to come in. */
async function toDoor(message = "") {
  connection.stop();
  keep.forget();
  log.clear();
  model = createModel();
  entitle();
  byId("world").hidden = true;
  byId("door").hidden = false;
  if (session.signedIn || session.known) {
    door.busy("A moment…");
    try {
      if (!session.signedIn) await session.refresh();
      await choose(message);
      return;
    } catch (error) {
      if (error instanceof Unreachable) message = error.message;
    }
  }
  door.welcome(message).focus();
}

// ---- the connection ----

/** The first frame: goes on with the session where there is one, else enters with a ticket. */
async function hello() {
  if (way.secret) {
    const resume = { secret: way.secret };
    if (connection.position) resume.position = connection.position;
    return { type: "hello", resume };
  }
  try {
    const frame = { type: "hello", ticket: await session.ticket(), csrf: session.csrf };
    if (way.character) frame.character = way.character;
    return frame;
  } catch (error) {
    // Only what the server refuses for good ends it; a server that is away is waited for.
    error.final = error instanceof Refused && error.status < 500 && error.status !== 429;
    if (error.status === 401) error.code = 4002;
    throw error;
  }
}

function onFrame(frame, done) {
  if (frame.type === "welcome") way = { secret: frame.resume, character: frame.character?.name };
  const { lines, changed, ask } = apply(model, frame, Date.now(), done);
  // What was said comes back in the server's words: the echo has done its work.
  if (done && frame.ok && channelOf(frame.key)) log.settle(frame.id);
  for (const line of lines) print(line);
  for (const part of changed) stale.add(part);
  redraw ??= requestAnimationFrame(draw);
  if (model.away?.until) waitForQuiet();
  dirty = true;
  if (frame.type !== "welcome") {
    // Views are asked for once the socket is known to be welcome.
    for (const what of ask) connection.ask(what);
    return;
  }
  keepTab();
  queueMicrotask(() => ask.forEach((what) => connection.ask(what)));
}

// What changed is drawn once a frame: a crowd arriving costs no more than one person.
function draw() {
  redraw = null;
  if (stale.has("room") || stale.has("map")) place.room(model);
  if (stale.has("occupants") || stale.has("self")) place.people(model);
  if (stale.has("map")) map.draw(model.map);
  // Says to scripts and tests that completion knows the commands.
  if (stale.has("commands")) byId("command").dataset.commands = String(Object.keys(model.commands).length);
  if (stale.has("self")) byId("self-name").textContent = safeText(model.self?.name);
  stale.clear();
  entitle();
}

/** The title says where one is, and how many lines came while nobody looked. */
function entitle() {
  const where = model.room?.name ? `${safeText(model.room.name)} · Tidings` : "Tidings";
  document.title = unseen > 0 ? `(${unseen}) ${where}` : where;
}

// 4006: the session of before is gone, and with it the secret.
function onEnd({ code }) {
  way.secret = null;
  keep.forget();
  if (code === 4000) toDoor();
}

function print(line) {
  line.at ??= Date.now();
  log.add(line);
  tabs.heard(line.channel, line.own);
  if (line.kind === "chat.whisper" && !line.missed) chime();
  if (!document.hidden || line.own || line.kind === "room" || line.kind.startsWith("divider")) return;
  unseen += 1;
  entitle();
}

function waitForQuiet() {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    for (const line of endAway(model)) print(line);
  }, QUIET_MS);
}

/** Sends a line; false where it cannot go now, and the line stays where it was typed. */
function send(text) {
  const most = model.limits.command_chars || 2200;
  if ([...text].length > most) {
    print({ kind: "refusal", channel: tabs.channel, text: `Too long: at most ${most} characters.`, own: true });
    return false;
  }
  const id = connection.command(text, { channel: tabs.channel });
  if (id === null) {
    print({ kind: "notice", channel: tabs.channel, text: connection.phase.name === "online" ? "One moment: earlier lines are still on their way." : "Not connected. Your line is kept.", own: true });
    return false;
  }
  print({ kind: "echo", channel: tabs.channel, text, own: true, id });
  return true;
}

// ---- what a tab keeps ----

function keepTab() {
  if (!way.secret) return;
  dirty = false;
  keep.save({ secret: way.secret, position: connection.position, self: model.self, room: model.room?.id, skew: model.skew, lines: log.lines, typed: prompt.typed });
}

addEventListener("pagehide", keepTab);
document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && keepTab());
setInterval(() => dirty && keepTab(), KEEP_MS);
document.addEventListener("visibilitychange", () => {
  unseen = 0;
  if (!byId("world").hidden) entitle();
});

// ---- keys ----

function focusOn(id) {
  const node = byId(id);
  if (node.closest(".place-more") && getComputedStyle(node.closest(".place-more")).display === "none") byId("place-toggle").click();
  (node.querySelector("button, [tabindex='0']") ?? node).focus();
}

const ALT = { KeyL: () => byId("log").focus(), KeyR: () => byId("room-name").focus(), KeyE: () => focusOn("exits"), KeyP: () => focusOn("people"), KeyM: () => focusOn("map") };

// On a Mac the key writes: on a German keyboard, Option and L is the @.
const ALT_WRITES = /^(Mac|iP)/.test(navigator.platform);

/** Whether a key with Alt is a shortcut, and not part of what is being typed. */
function isShortcut({ altKey, ctrlKey, metaKey, key, code, target }) {
  if (!altKey || ctrlKey || metaKey) return false;
  return !(ALT_WRITES && target.matches("input, textarea") && key.toLowerCase() !== code.slice(-1).toLowerCase());
}

document.addEventListener("keydown", (event) => {
  if (byId("world").hidden || document.querySelector("dialog[open]")) return;
  const tab = /^Digit([1-9])$/.exec(event.code);
  const shortcut = isShortcut(event);
  if (shortcut && tab && tabs.shown[tab[1] - 1]) tabs.choose(tabs.shown[tab[1] - 1]);
  else if (shortcut && ALT[event.code]) ALT[event.code]();
  else if (event.ctrlKey && event.key === "/") dialogs.help.showModal();
  else if (event.key === "Escape" && !event.defaultPrevented) byId("command").focus();
  else if (event.key === "PageUp" && document.activeElement === byId("command")) log.page(-1);
  else if (event.key === "PageDown" && document.activeElement === byId("command")) log.page(1);
  else return;
  event.preventDefault();
});

for (const button of document.querySelectorAll("button[data-open]")) button.addEventListener("click", () => dialogs[button.dataset.open].showModal());
byId("leave").addEventListener("click", () => {
  if (connection.command("quit", { channel: "all" }) === null) toDoor();
});
settings.onChange(() => log.toEnd());

// ---- begin ----

const kept = keep.load();
if (kept) {
  log.restore(kept.lines ?? []);
  prompt.restore(kept.typed);
  way = { secret: kept.secret, character: kept.self?.name };
  connection.position = kept.position;
  model.self = kept.self ?? null;
  model.skew = kept.skew ?? null;
  model.room = kept.room ? { id: kept.room } : null;
  markAway(model, Date.now());
  toWorld();
  connection.start();
} else {
  toDoor();
}
