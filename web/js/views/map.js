// The map: the rooms one knows around where one is, drawn as lit and unlit windows with the paths between. Rooms one step away can be
// pressed. The same map stands beside it in words.

import { byId, el, svg } from "../dom.js";
import { describe, layout, REACH_X, REACH_Y } from "../layout.js";
import { safeText } from "../lines.js";

/** Distance between rooms, in units of the drawing: wide enough for a name below each. */
const STEP_X = 76;
const STEP_Y = 60;
/** Half the side of a room. */
const HALF = 9;
/** Half the height of the drawing: the reach, and room for a name below. */
const TOP = REACH_Y * STEP_Y + 26;
const SIDE = REACH_X * STEP_X + 36;
/** Longer lines of a name are broken or cut on the drawing; the words have them whole. */
const NAME_MAX = 13;

export class MapView {
  #drawn = "";

  constructor({ send }) {
    this.send = send;
  }

  draw(map) {
    const { rooms, paths } = layout(map);
    const root = byId("map");
    // The same map is not drawn again: the focus may be in it.
    const fresh = JSON.stringify(map ?? null);
    if (fresh === this.#drawn) return;
    this.#drawn = fresh;
    const inside = root.contains(document.activeElement);
    byId("map-text").hidden = rooms.length === 0;
    if (rooms.length === 0) {
      root.replaceChildren(el("p", { class: "nobody", text: "No map of this place." }));
      return;
    }
    const drawing = svg("svg", { viewBox: `${-SIDE} ${-TOP} ${2 * SIDE} ${2 * TOP}`, role: "group", "aria-label": `Map of ${safeText(map.name ?? map.zone)}; the ways from here can be pressed`, class: "map-drawing" });
    drawing.append(light());
    for (const { from, to, oneWay } of paths) drawing.append(svg("line", { class: oneWay ? "path one-way" : "path", x1: from.x * STEP_X, y1: from.y * STEP_Y, x2: to.x * STEP_X, y2: to.y * STEP_Y }));
    for (const room of rooms) drawing.append(this.#room(room));
    // Names last, so that no path runs through them.
    for (const room of rooms) if (room.here || room.direction) drawing.append(label(room));
    root.replaceChildren(drawing);
    if (inside) (drawing.querySelector("[tabindex]") ?? byId("command")).focus();
    byId("map-list").replaceChildren(...describe(map).map((text) => el("li", { text: safeText(text) })));
  }

  #room({ name, x, y, here, direction, exits }) {
    const [cx, cy] = [x * STEP_X, y * STEP_Y];
    const near = direction !== null && !here;
    const kind = here ? "map-room here" : near ? "map-room near" : "map-room";
    const group = svg("g", near ? { class: kind, role: "button", tabindex: 0, "aria-label": `Go ${direction} to ${safeText(name)}` } : { class: kind, "aria-hidden": "true" });
    group.append(svg("title", { text: safeText(name) }));
    // The target is larger than what is drawn: a finger must find it.
    if (near) group.append(svg("rect", { class: "map-target", x: cx - 22, y: cy - 22, width: 44, height: 44 }));
    group.append(svg("rect", { class: "map-window", x: cx - HALF, y: cy - HALF, width: 2 * HALF, height: 2 * HALF, rx: 2.5 }));
    if (exits.up) group.append(svg("path", { class: "map-stairs", d: `M${cx + 5} ${cy - 13}l4-5 4 5z` }));
    if (exits.down) group.append(svg("path", { class: "map-stairs", d: `M${cx + 5} ${cy + 13}l4 5 4-5z` }));
    if (near) {
      group.addEventListener("click", () => this.send(`go ${direction}`));
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.send(`go ${direction}`);
      });
    }
    return group;
  }
}

// The lamp one carries: brightest where one stands.
function light() {
  const stops = [[0, 1], [0.45, 0.45], [1, 0]].map(([offset, opacity]) => svg("stop", { offset, class: "map-glow", "stop-opacity": opacity }));
  return svg("g", {}, svg("defs", {}, svg("radialGradient", { id: "map-lamp" }, ...stops)), svg("ellipse", { class: "map-light", cx: 0, cy: 0, rx: STEP_X * 1.9, ry: STEP_Y * 2, fill: "url(#map-lamp)" }));
}

// A name stands below its room, in two lines where it is long; that of the room one is in above it, where it has the width to itself.
function label({ name, x, y, here }) {
  const lines = here ? [safeText(name)] : inTwo(safeText(name));
  const top = y * STEP_Y + (here ? -HALF - 6 : HALF + 12);
  const text = svg("text", { class: here ? "map-name here" : "map-name", "text-anchor": "middle", "aria-hidden": "true" });
  lines.forEach((line, at) => text.append(svg("tspan", { x: x * STEP_X, y: top + at * 11, text: cut(line, here ? 2 * NAME_MAX : NAME_MAX) })));
  return text;
}

function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1).trimEnd()}…` : text;
}

// Broken at the space that leaves both lines as short as can be.
function inTwo(name) {
  if (name.length <= NAME_MAX) return [name];
  const breaks = [...name.matchAll(/ /g)].map(({ index }) => [name.slice(0, index), name.slice(index + 1)]);
  const longer = (lines) => Math.max(...lines.map((line) => line.length));
  return breaks.sort((a, b) => longer(a) - longer(b))[0] ?? [name];
}
