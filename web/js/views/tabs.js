// The channels as tabs, with what is unread in each. The keyboard pattern of a tab list: arrows, Home and End move and choose; one tab
// stop for all. All tabs share one panel, the log.

import { el } from "../dom.js";
import { CHANNELS } from "../lines.js";

const NAMES = { all: "All", room: "Room", local: "Local", global: "Global", whisper: "Whisper", party: "Party", system: "System", staff: "Staff" };
/** Larger numbers are shown as so many and more. */
const UNREAD_MAX = 99;

export class Tabs {
  #unread = new Map();
  #tabs = new Map();

  constructor(root, panel, onChoose) {
    this.root = root;
    this.panel = panel;
    this.onChoose = onChoose;
    for (const channel of CHANNELS) {
      const tab = el("button", { type: "button", role: "tab", id: `tab-${channel}`, class: "tab", "aria-controls": panel.id, data: { channel } },
        el("span", { text: NAMES[channel] }), el("span", { class: "unread", hidden: true }));
      tab.addEventListener("click", () => this.choose(channel));
      tab.hidden = channel === "staff";
      this.#tabs.set(channel, tab);
      root.append(tab);
    }
    root.addEventListener("keydown", (event) => this.#key(event));
    this.choose("all");
  }

  /** The channels with a tab to be seen, in order. */
  get shown() {
    return CHANNELS.filter((channel) => !this.#tabs.get(channel).hidden);
  }

  choose(channel, { focus = false } = {}) {
    this.channel = channel;
    for (const [name, tab] of this.#tabs) {
      tab.setAttribute("aria-selected", String(name === channel));
      tab.tabIndex = name === channel ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${channel}`);
    for (const name of channel === "all" ? [...this.#unread.keys()] : [channel]) this.#mark(name, 0);
    if (focus) this.#tabs.get(channel).focus();
    this.#tabs.get(channel).scrollIntoView({ block: "nearest", inline: "nearest" });
    this.onChoose(channel);
  }

  /** A line came in this channel. */
  heard(channel, own) {
    const tab = this.#tabs.get(channel);
    if (!tab) return;
    if (channel === "staff") tab.hidden = false;
    if (own || channel === "all" || this.channel === "all" || this.channel === channel) return;
    this.#mark(channel, (this.#unread.get(channel) ?? 0) + 1);
  }

  #mark(channel, count) {
    this.#unread.set(channel, count);
    const badge = this.#tabs.get(channel).lastElementChild;
    badge.hidden = count === 0;
    badge.replaceChildren(count > UNREAD_MAX ? `${UNREAD_MAX}+` : String(count), el("span", { class: "sr", text: " new" }));
  }

  #key(event) {
    const shown = this.shown;
    const at = shown.indexOf(this.channel);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + shown.length, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(shown[to % shown.length], { focus: true });
  }
}
