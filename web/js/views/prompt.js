// The command line: what is typed, earlier lines by the arrows, completion by Tab in a list box. The focus stays here while one plays,
// and the line clears once it is sent.
//
// In the tabs of a channel the line is spoken there, and says so in front; a line that starts with `/` is a command everywhere.

import { el } from "../dom.js";
import { complete, sharedStart } from "../complete.js";

/** Earlier lines remembered. */
const HISTORY_MAX = 100;
/** What a channel's tab puts before the line. */
const SPEAKS = { local: "local", global: "global", party: "party", whisper: "reply", staff: "staff" };

export class Prompt {
  #at = 0;
  #draft = "";
  #offer = null;
  #active = -1;

  constructor({ form, input, choices, mode, name, model, onLine }) {
    Object.assign(this, { form, input, choices, mode, name, model, onLine });
    /** Earlier lines, oldest first: kept over a reload. */
    this.typed = [];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("input", () => this.#close());
    input.addEventListener("blur", () => this.#close());
    // The list is chosen from by pointer without the line losing its focus.
    choices.addEventListener("mousedown", (event) => event.preventDefault());
    choices.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#take(Number(option.dataset.at));
    });
  }

  /** Which tab is open: what a line is taken for. */
  speak(channel) {
    this.verb = SPEAKS[channel] ?? null;
    this.mode.textContent = this.verb ? `${this.verb} ›` : "›";
    this.name.textContent = this.verb ? `Speak: ${this.verb}. Start with a slash for a command` : "Command";
    this.input.placeholder = this.verb ? "" : "look, north, say hello, or help";
    this.#close();
  }

  /** Puts a line there to be finished, and the focus behind it. */
  insert(text) {
    this.input.value = text;
    this.input.focus();
    this.input.setSelectionRange(text.length, text.length);
    this.#close();
  }

  restore(typed) {
    this.typed = Array.isArray(typed) ? typed.filter((line) => typeof line === "string").slice(-HISTORY_MAX) : [];
    this.#at = this.typed.length;
  }

  #submit() {
    const raw = this.input.value.trim();
    if (raw === "") return;
    const text = raw.startsWith("/") ? raw.slice(1).trim() : this.verb ? `${this.verb} ${raw}` : raw;
    // What could not be sent stays in the line.
    if (text === "" || !this.onLine(text)) return;
    if (this.typed[this.typed.length - 1] !== raw) this.typed.push(raw);
    if (this.typed.length > HISTORY_MAX) this.typed.shift();
    this.#at = this.typed.length;
    this.#draft = "";
    this.input.value = "";
    this.#close();
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const open = !this.choices.hidden;
    const act = {
      Tab: () => !event.shiftKey && (open ? this.#move(1) : this.#complete()),
      ArrowDown: () => (open ? this.#move(1) : this.#recall(1)),
      ArrowUp: () => (open ? this.#move(-1) : this.#recall(-1)),
      Enter: () => open && this.#active >= 0 && this.#take(this.#active),
      Escape: () => open && this.#close(),
    }[event.key];
    if (act && act() !== false) event.preventDefault();
  }

  #recall(step) {
    const to = this.#at + step;
    if (to < 0 || to > this.typed.length) return;
    if (this.#at === this.typed.length) this.#draft = this.input.value;
    this.#at = to;
    const text = this.typed[to] ?? this.#draft;
    this.input.value = text;
    this.input.setSelectionRange(text.length, text.length);
  }

  // False where there is nothing to complete: Tab then moves on, as everywhere.
  #complete() {
    if (this.input.value === "") return false;
    this.#offer = complete(this.model(), this.input.value, this.input.selectionStart, { speaking: this.verb !== null });
    const { choices, word } = this.#offer;
    if (choices.length === 0) return false;
    if (choices.length === 1) return this.#take(0);
    const shared = sharedStart(choices);
    if (shared.length > word.length) this.#put(shared);
    this.#open();
    return true;
  }

  #put(text) {
    const { start, word } = this.#offer;
    const value = this.input.value;
    this.input.value = value.slice(0, start) + text + value.slice(start + word.length);
    this.input.setSelectionRange(start + text.length, start + text.length);
    this.#offer.word = text;
  }

  #take(at) {
    this.#put(`${this.#offer.choices[at].text} `);
    this.#close();
    return true;
  }

  #open() {
    this.choices.replaceChildren(...this.#offer.choices.map(({ text, hint }, at) =>
      el("li", { role: "option", id: `choice-${at}`, "aria-selected": "false", data: { at } }, el("span", { text }), el("small", { text: hint }))));
    this.choices.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#active = -1;
    this.#move(1);
  }

  #move(step) {
    const options = [...this.choices.children];
    this.#active = (this.#active + step + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === this.#active)));
    options[this.#active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `choice-${this.#active}`);
    return true;
  }

  #close() {
    if (this.choices.hidden) return;
    this.choices.hidden = true;
    this.choices.replaceChildren();
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }
}
