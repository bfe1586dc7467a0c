// The log: what was said and done, in order. Bounded; it stays at its end while one reads there, and holds still while one reads above.
//
// One list holds the lines of every channel and the style sheet hides what the chosen tab leaves out: changing the tab makes no
// announcement, and a screen reader hears what is shown and nothing else. Focus never moves here by itself.

import { el } from "../dom.js";
import { inWords, safeText, splitSpeech, tintOf } from "../lines.js";
import { exitsOf } from "../complete.js";

/** Lines on the page at most: a long evening; older ones are in the channels' history. */
export const LINES_MAX = 1000;
/** As close to the end as counts as being there, in pixels. */
const NEAR_PX = 48;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export class Log {
  #unseen = 0;
  #sticky = true;
  #next = null;
  #top = 0;

  constructor(root, button) {
    this.root = root;
    this.button = button;
    /** The lines shown, as data: kept over a reload. */
    this.lines = [];
    root.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.toEnd());
    // A smaller window (a phone's keyboard, the place unfolded) must not push the newest line out of sight.
    new ResizeObserver(() => this.#sticky && this.#jump()).observe(root);
  }

  add(line) {
    this.lines.push(line);
    const node = render(line);
    this.root.append(node);
    // A page that nobody sees draws no frames; the bound holds there too.
    if (this.lines.length > 2 * LINES_MAX) this.#prune();
    if (line.own && !line.missed) this.#sticky = true;
    this.#next ??= requestAnimationFrame(() => this.#settleFrame());
    if (this.#sticky) return;
    if (this.#shows(line) && !line.kind.startsWith("divider")) this.#count(this.#unseen + 1);
  }

  /** Puts back lines of before a reload, without reading them out again. */
  restore(lines) {
    this.root.setAttribute("aria-live", "off");
    for (const line of lines) this.add(line);
    setTimeout(() => this.root.setAttribute("aria-live", "polite"), 500);
  }

  /** Takes back the echo of a command. */
  settle(id) {
    const at = this.lines.findLastIndex((line) => line.kind === "echo" && line.id === id);
    if (at < 0) return;
    this.lines.splice(at, 1);
    this.root.children[at].remove();
  }

  /** Shows one channel; `all` shows everything. */
  show(channel) {
    this.root.dataset.channel = channel;
    this.toEnd();
  }

  clear() {
    this.lines = [];
    this.root.replaceChildren();
    this.toEnd();
  }

  toEnd() {
    this.#jump();
    this.#count(0);
  }

  /** Scrolls by pages, from the command line. */
  page(direction) {
    this.root.scrollBy({ top: direction * this.root.clientHeight * 0.85 });
  }

  #shows({ channel }) {
    const tab = this.root.dataset.channel;
    return tab === "all" || channel === tab || (tab === "room" && channel === "all");
  }

  // A flood of lines moves the page once a frame, not once a line.
  #settleFrame() {
    this.#next = null;
    this.#prune();
    if (this.#sticky) this.#jump();
  }

  #prune() {
    const over = this.lines.length - LINES_MAX;
    if (over <= 0) return;
    this.lines.splice(0, over);
    for (const node of [...this.root.children].slice(0, over)) node.remove();
  }

  #jump() {
    this.root.scrollTop = this.root.scrollHeight;
    this.#top = this.root.scrollTop;
    this.#sticky = true;
  }

  // Only moving up lets go of the end: lines that have just come make the way there longer, and that is no wish.
  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.root;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) {
      this.#sticky = true;
      this.#count(0);
    } else if (scrollTop < this.#top) {
      this.#sticky = false;
    }
    this.#top = scrollTop;
  }

  #count(unseen) {
    this.#unseen = unseen;
    this.button.hidden = unseen === 0;
    this.button.textContent = unseen === 1 ? "1 new line" : `${unseen} new lines`;
  }
}

function render(line) {
  const kinds = line.kind.split(/[. ]/).map((word) => `k-${word}`).join(" ");
  const props = { class: `line ${kinds}${line.missed ? " missed" : ""}${line.own ? " own" : ""}`, data: { in: line.channel }, dir: "auto" };
  if (line.kind === "room") return chapter(line, props);
  if (line.kind.startsWith("divider")) return divider(line, props);
  // Read out by nobody: the reply says it again, in full.
  if (line.kind === "echo") return el("p", { ...props, "aria-hidden": "true", text: safeText(line.text) });
  const node = el("p", props, stamp(line));
  const [lead, said] = splitSpeech(safeText(line.text), line.message === undefined ? undefined : safeText(line.message));
  const name = line.from ? safeText(line.from) : "";
  const at = name === "" ? -1 : lead.indexOf(name);
  if (at >= 0 && at <= 12) {
    node.append(lead.slice(0, at), el("b", { class: `name tint-${tintOf(name)}`, text: name }), lead.slice(at + name.length));
  } else {
    node.append(lead);
  }
  if (said) node.append(el("span", { class: "said", text: said }));
  return node;
}

// The style sheet shows it, so that a line that is copied or searched is the line alone.
function stamp(line) {
  const time = line.time ? new Date(line.time) : new Date(line.at ?? Date.now());
  return Number.isNaN(time.getTime()) ? null : el("time", { datetime: time.toISOString(), data: { clock: clock.format(time) } });
}

function divider(line, props) {
  const node = el("p", props, el("span", { text: line.text }));
  if (line.detail) node.append(el("small", { text: ` ${safeText(line.detail)}` }));
  return node;
}

// Where one arrives: the room as the beginning of a chapter, complete for those who only read the log.
function chapter({ room, here, brief }, props) {
  const exits = exitsOf(room).map((direction) => safeText(room.exits[direction]?.name ?? direction));
  const node = el("div", props, el("p", { class: "chapter-name", text: safeText(room.name) }), brief ? null : el("p", { class: "chapter-text", text: safeText(room.description) }));
  const foot = [exits.length ? `Exits: ${exits.join(", ")}.` : "There is no way out to be seen."];
  if (here?.length) foot.push(`Here: ${inWords(here.slice(0, 8).map((one) => safeText(one.name)))}${here.length > 8 ? " and others" : ""}.`);
  node.append(el("p", { class: "chapter-foot", text: foot.join(" ") }));
  return node;
}
