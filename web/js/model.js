// What the page knows of the world, and how each frame of the server changes it. Pure: no element, no socket, no clock of its own.
//
// `state` replaces a view; `patch` and the events of arrival and departure apply by key, so that applying one again changes nothing.
// Frames, kinds and fields that are not known here are left alone: the protocol only grows.

import { channelOf } from "./lines.js";

/** Why lines may be lost, by the server's word for it. */
const HOLES = {
  too_old: "You were away for longer than the server keeps what was said.",
  epoch: "The server has begun a new record of what is said.",
  no_position: "This page does not know how far it had read.",
};
/** Names remembered for completion. */
const KNOWN_MAX = 100;

export function createModel() {
  return {
    self: null, session: null, limits: {}, room: null, occupants: new Map(), total: 0, next: null,
    map: null, commands: null, known: new Map(), skew: null, away: null,
  };
}

/** RFC 7396: `null` removes, objects merge, anything else replaces. */
export function mergePatch(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === "__proto__") continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** The connection is gone at `now`: what comes after the next welcome may be what was missed. */
export function markAway(model, now) {
  model.away = { since: model.away?.since ?? now, until: null, shown: 0 };
}

/**
 * Applies a frame. Gives `{ lines, changed, ask }`: what to print, which parts of the page to draw again, which views to ask for.
 * `now` is this computer's clock in milliseconds; `done` the command a reply answers: `{ text, note: { channel } }`.
 */
export function apply(model, frame, now, done) {
  const out = { lines: [], changed: new Set(), ask: [] };
  if (Object.hasOwn(HANDLERS, frame?.type ?? "")) HANDLERS[frame.type](model, frame, out, now, done);
  return out;
}

const HANDLERS = {
  welcome(model, frame, out, now) {
    model.session = frame.session;
    model.limits = frame.limits ?? {};
    model.self = frame.character ?? null;
    out.changed.add("self");
    out.ask.push("commands");
    model.map = null;
    if (!model.away) return;
    if (frame.recovered) {
      model.away.until = now;
    } else {
      out.lines.push({ kind: "divider", channel: "all", text: "While you were away, some lines may have been lost", detail: Object.hasOwn(HOLES, frame.reason ?? "") ? HOLES[frame.reason] : "" });
      model.away = null;
    }
  },

  state(model, frame, out) {
    if (frame.what === "room" || (frame.what === undefined && frame.room)) roomState(model, frame, out);
    else if (frame.what === "occupants") occupantsState(model, frame, out);
    else if (frame.what === "map" && frame.map) {
      model.map = frame.map;
      out.changed.add("map");
    } else if (frame.what === "commands") {
      model.commands = named(frame.commands);
      for (const word of Array.isArray(frame.emotes) ? frame.emotes : []) model.commands[word] ??= { usage: "emote" };
      out.changed.add("commands");
    }
  },

  event(model, frame, out, now) {
    occupantEvent(model, frame, out);
    if (frame.from?.name) know(model, frame.from.name);
    if (typeof frame.text !== "string" || frame.text === "") return;
    const line = {
      kind: frame.kind ?? "event", channel: channelOf(frame.kind) ?? (frame.audience === "player" ? "all" : "room"), text: frame.text,
      time: frame.time, from: frame.from?.name, message: frame.data?.message, missed: missed(model, frame, out, now),
    };
    out.lines.push(line);
  },

  patch(model, frame, out) {
    if (frame.target !== "room" || !model.room) return;
    const { occupants, ...rest } = frame.patch ?? {};
    if (rest.id !== undefined && rest.id !== model.room.id) return;
    model.room = mergePatch(model.room, rest);
    patchOccupants(model, occupants);
    out.changed.add("room");
    out.changed.add("occupants");
  },

  reply(model, frame, out, now, done) {
    if (typeof frame.text !== "string" || frame.text === "") return;
    const spoken = channelOf(frame.key);
    const late = !done && Boolean(model.away?.until);
    if (late) openAway(model, out);
    out.lines.push({
      kind: frame.ok === false ? "refusal" : ["reply", spoken && "speech", spoken && spoken !== "room" && "spoken"].filter(Boolean).join(" "), key: frame.key,
      channel: frame.ok === false ? done?.note?.channel ?? "all" : spoken ?? done?.note?.channel ?? "all",
      text: frame.text, own: true, missed: late, message: spoken && frame.ok !== false ? frame.text.split(": ").slice(1).join(": ") : undefined,
    });
  },

  error(model, frame, out, now, done) {
    const seconds = frame.retry_after_ms > 0 ? ` Try again in ${Math.ceil(frame.retry_after_ms / 1000)} s.` : "";
    out.lines.push({ kind: "refusal", channel: done?.note?.channel ?? "all", text: `${frame.message ?? frame.code ?? "Refused."}${seconds}`, own: true });
  },

  bye(model, frame, out) {
    if (frame.reason) out.lines.push({ kind: "notice", channel: "all", text: frame.reason });
  },
};

function roomState(model, frame, out) {
  const { occupants, ...room } = frame.room ?? {};
  if (frame.character) model.self = { ...model.self, ...frame.character };
  const entered = room.id !== model.room?.id;
  model.room = room;
  model.occupants = new Map();
  addPage(model, occupants);
  for (const part of ["room", "occupants", "self"]) out.changed.add(part);
  if (entered) out.lines.push({ kind: "room", channel: "room", room, brief: Boolean(model.self?.brief), here: [...model.occupants.values()].filter((one) => one.id !== model.self?.id) });
  // A map names the rooms one knows: a new one means a new map.
  if (model.map?.rooms?.[room.id] && model.map.zone === room.zone) model.map = { ...model.map, here: room.id };
  else out.ask.push("map");
  out.changed.add("map");
  for (const one of model.occupants.values()) know(model, one.name);
}

function occupantsState(model, frame, out) {
  if (frame.room && frame.room !== model.room?.id) return;
  addPage(model, frame.occupants);
  out.changed.add("occupants");
}

function addPage(model, page) {
  for (const one of listed(page?.items)) model.occupants.set(one.id, one);
  model.total = Math.max(Number(page?.total) || 0, model.occupants.size);
  model.next = page?.next ?? null;
}

function patchOccupants(model, patch) {
  const items = patch?.items ?? patch;
  if (!items || typeof items !== "object" || Array.isArray(items)) return;
  for (const [id, change] of Object.entries(items)) {
    const old = model.occupants.get(id);
    if (change === null) remove(model, id);
    else if (typeof change === "object" && (old || change.name)) put(model, mergePatch(old ?? { id }, change));
  }
}

function put(model, one) {
  if (!one?.id) return;
  if (!model.occupants.has(one.id)) model.total += 1;
  model.occupants.set(one.id, { ...model.occupants.get(one.id), ...one });
}

function remove(model, id) {
  if (model.occupants.delete(id)) model.total = Math.max(0, model.total - 1);
}

const HERE = {
  "event.entered": true, "event.joined_world": true, "event.npc_entered": true, "event.link_lost": true, "event.back": true,
  "event.left": false, "event.left_world": false, "event.npc_left": false,
};

function occupantEvent(model, frame, out) {
  const present = HERE[frame.kind];
  const { room, occupant } = frame.data ?? {};
  if (present === undefined || !occupant?.id || !model.room || room !== model.room.id) return;
  const link = { "event.link_lost": { link_lost: true }, "event.back": { link_lost: false } }[frame.kind];
  if (present) put(model, { ...occupant, ...link });
  else remove(model, occupant.id);
  if (present) know(model, occupant.name);
  out.changed.add("occupants");
}

// Whether an event happened while the connection was gone. The server's clock is compared with ours by the smallest delay ever seen
// of a live event; an event that would have arrived before the welcome was missed. The first one that was not ends the search.
function missed(model, frame, out, now) {
  const at = Date.parse(frame.time);
  const away = model.away;
  if (Number.isNaN(at)) return false;
  if (away?.until && at + (model.skew ?? 0) < away.until) {
    openAway(model, out);
    return true;
  }
  if (away?.until) out.lines.push(...endAway(model));
  if (!away) model.skew = Math.min(model.skew ?? Infinity, now - at);
  return false;
}

function openAway(model, out) {
  if (model.away.shown++ === 0) out.lines.push({ kind: "divider", channel: "all", text: "While you were away" });
}

/** Ends the search for missed lines: called by the first live event, and after a moment of quiet. Gives the closing divider, if one is due. */
export function endAway(model) {
  const away = model.away;
  if (!away?.until) return [];
  model.away = null;
  return away.shown > 0 ? [{ kind: "divider end", channel: "all", text: "You are back" }] : [];
}

function know(model, name) {
  if (!name) return;
  model.known.delete(name);
  model.known.set(name, true);
  if (model.known.size > KNOWN_MAX) model.known.delete(model.known.keys().next().value);
}

function listed(items) {
  if (Array.isArray(items)) return items.filter((one) => one?.id);
  return Object.entries(items ?? {}).map(([id, one]) => ({ id, ...one }));
}

function named(commands) {
  if (Array.isArray(commands)) return Object.fromEntries(commands.map((one) => [one.name, one]));
  if (Array.isArray(commands?.items)) return named(commands.items);
  return { ...commands };
}
