// The place: its name and description, the ways out and the people as buttons. On a narrow screen it folds into a strip of the name and
// the ways out.

import { byId, el } from "../dom.js";
import { exitsOf } from "../complete.js";
import { safeText } from "../lines.js";
import { closeMenu, isMenuOpen, toggleMenu } from "./menu.js";

const ARROWS = {
  north: "↑", northeast: "↗", east: "→", southeast: "↘", south: "↓", southwest: "↙", west: "←", northwest: "↖", up: "⇡", down: "⇣", in: "⊙", out: "⊖",
};
/** People shown before the rest folds away. */
const PEOPLE_SHOWN = 60;

export class Place {
  #waiting = false;

  constructor({ send, insert, morePeople }) {
    Object.assign(this, { send, insert, morePeople });
    byId("who").addEventListener("click", () => send("who"));
    byId("people-more").addEventListener("click", () => morePeople());
    const toggle = byId("place-toggle");
    toggle.addEventListener("click", () => {
      const open = byId("place").dataset.open !== "true";
      byId("place").dataset.open = String(open);
      toggle.setAttribute("aria-expanded", String(open));
      toggle.firstElementChild.textContent = open ? "Less" : "More";
    });
  }

  room(model) {
    const { room } = model;
    if (!room) return;
    const zone = room.zone_name ?? (model.map?.zone === room.zone ? model.map?.name : null) ?? titled(room.zone);
    byId("zone-name").textContent = [...new Set([zone, same(room.area_name, room.name) ? null : room.area_name, room.weather?.condition])].filter(Boolean).map(safeText).join(" · ");
    byId("room-name").textContent = safeText(room.name);
    byId("room-description").textContent = safeText(room.description);
    keepFocus(byId("exits"), () => byId("exits").replaceChildren(...exitsOf(room).map((direction) => this.#exit(direction, room.exits[direction] ?? {}))));
  }

  #exit(direction, exit) {
    const notes = [exit.door, exit.locked ? "locked" : null].filter(Boolean).map(safeText);
    const place = safeText(exit.place ?? "");
    return el("button", { type: "button", class: "exit", data: { direction }, on: { click: () => this.send(`go ${direction}`) } },
      el("span", { class: "arrow", "aria-hidden": "true", text: ARROWS[direction] ?? "→" }),
      el("span", { class: "way", text: safeText(exit.name ?? direction) }),
      place ? el("span", { class: "to", text: place }) : null,
      notes.length ? el("span", { class: "note", text: notes.join(", ") }) : null);
  }

  people(model) {
    // An open menu is not pulled away under the finger; the list follows once it is closed.
    if (isMenuOpen(byId("people"))) {
      if (!this.#waiting) setTimeout(() => { this.#waiting = false; this.people(model); }, 500);
      this.#waiting = true;
      return;
    }
    const others = [...model.occupants.values()].filter((one) => one.id !== model.self?.id);
    others.sort((a, b) => (a.kind === "npc") - (b.kind === "npc") || String(a.name).localeCompare(String(b.name)));
    const list = byId("people");
    keepFocus(list, () => list.replaceChildren(...others.slice(0, PEOPLE_SHOWN).map((one) => this.#person(one))));
    if (others.length === 0) list.append(el("li", { class: "nobody", text: "Nobody else." }));
    byId("people-title").textContent = others.length > 0 ? `Here · ${Math.max(others.length, model.total - (model.occupants.has(model.self?.id) ? 1 : 0))}` : "Here";
    const more = byId("people-more");
    const rest = model.next ? Math.max(1, model.total - model.occupants.size) : 0;
    more.hidden = rest === 0;
    more.textContent = `${rest} more`;
  }

  #person(one) {
    const name = safeText(one.name);
    const notes = [one.link_lost ? "link lost" : null, one.staff ? "staff" : null].filter(Boolean);
    const button = el("button", { type: "button", class: `person ${one.kind === "npc" ? "npc" : "player"}`, "aria-haspopup": "menu", "aria-expanded": "false", data: { id: one.id, name } },
      el("span", { class: "dot", "aria-hidden": "true" }), el("span", { class: "who", text: name }),
      notes.length ? el("span", { class: "note", text: `(${notes.join(", ")})` }) : null, one.pose ? el("span", { class: "pose", text: safeText(one.pose) }) : null);
    const items = [{ text: "Look", act: () => this.send(`look ${one.name}`) }];
    if (one.kind !== "npc") {
      items.unshift({ text: "Whisper", act: () => this.insert(`whisper ${one.name} `) });
      items.push({ text: "Mute", act: () => this.insert(`mute ${one.name}`) });
    }
    button.addEventListener("click", () => toggleMenu(button, items));
    button.addEventListener("keydown", (event) => event.key === "ArrowDown" && (event.preventDefault(), button.click()));
    return el("li", { class: one.link_lost ? "lost" : null }, button);
  }

  /** Nothing of an earlier place is left. */
  clear() {
    closeMenu();
    for (const id of ["exits", "people"]) byId(id).replaceChildren();
  }
}

// Draws a list again without taking the focus from the button that has it: the one for the same person or direction gets it.
function keepFocus(root, draw) {
  const focused = root.contains(document.activeElement) ? { ...document.activeElement.dataset } : null;
  draw();
  if (!focused) return;
  const again = [...root.querySelectorAll("button")].find(({ dataset }) => (focused.id ? dataset.id === focused.id : dataset.direction === focused.direction));
  (again ?? root.querySelector("button") ?? byId("command")).focus();
}

function same(a, b) {
  return String(a ?? "").toLowerCase() === String(b ?? "").toLowerCase();
}

function titled(id) {
  return String(id ?? "").split("-").map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join(" ");
}
