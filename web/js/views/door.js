// The door: come in as a guest, sign in, make an account, choose who to be. Draws one form at a time; what they do is handed in.

import { byId, el } from "../dom.js";
import { safeText } from "../lines.js";

export class Door {
  /** `acts`: `guest()`, `signIn(name, password)`, `signUp(name, password)`, `enter(name)`, `create(name)`, `signOut()`; each may throw. */
  constructor(acts) {
    this.acts = acts;
    this.root = byId("door-body");
  }

  /** The first choice. */
  welcome(message = "") {
    const guest = el("button", { type: "button", class: "lit big", id: "guest", text: "Enter as a guest" });
    const alert = notice(message);
    guest.addEventListener("click", () => this.#run(alert, [guest], () => this.acts.guest()));
    this.#draw(guest,
      el("p", { class: "door-or" },
        el("button", { type: "button", class: "link", id: "sign-in", text: "Sign in", on: { click: () => this.#credentials(false) } }),
        el("span", { "aria-hidden": "true", text: "·" }),
        el("button", { type: "button", class: "link", id: "sign-up", text: "Create an account", on: { click: () => this.#credentials(true) } })),
      alert);
    return guest;
  }

  #credentials(fresh) {
    const alert = notice();
    const name = field("Name", { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, maxlength: 64 });
    const password = field("Password", { name: "password", type: "password", autocomplete: fresh ? "new-password" : "current-password", required: true, maxlength: 256 });
    const submit = el("button", { type: "submit", class: "lit", text: fresh ? "Create the account" : "Sign in" });
    const form = el("form", { class: "door-form", "aria-label": fresh ? "Create an account" : "Sign in" }, name.row, password.row,
      el("div", { class: "row" }, submit, el("button", { type: "button", class: "plain", text: "Back", on: { click: () => this.welcome().focus() } })), alert);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const act = fresh ? this.acts.signUp : this.acts.signIn;
      this.#run(alert, [submit], () => act(name.input.value, password.input.value));
    });
    this.#draw(form);
    name.input.focus();
  }

  /** Who to be: the account's characters, and a new one. */
  characters(list, message = "") {
    const alert = notice(message);
    const buttons = list.map(({ name }) => {
      const button = el("button", { type: "button", class: "character" }, el("span", { class: "character-name", text: safeText(name) }), el("span", { class: "character-go", "aria-hidden": "true", text: "enter →" }));
      button.addEventListener("click", () => this.#run(alert, buttons, () => this.acts.enter(name)));
      return button;
    });
    const name = field(list.length ? "Someone new" : "What will you be called?", { name: "character", autocomplete: "off", required: true, maxlength: 40, spellcheck: "false" });
    const create = el("button", { type: "submit", class: list.length ? "plain" : "lit", text: "Create" });
    const form = el("form", { class: "door-form inline" }, name.row, create);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run(alert, [create], () => this.acts.create(name.input.value.trim()));
    });
    const leave = el("button", { type: "button", class: "link", text: "Sign out" });
    leave.addEventListener("click", () => this.#run(alert, [leave], () => this.acts.signOut()));
    const title = el("h2", { class: "door-title", text: list.length ? "Who will you be?" : "Your first character" });
    this.#draw(title, ...(list.length ? [el("div", { class: "characters" }, ...buttons)] : []), form, leave, alert);
    (buttons[0] ?? name.input).focus();
  }

  /** While something is under way. */
  busy(text) {
    this.#draw(el("p", { class: "door-busy", role: "status", text }));
  }

  #draw(...parts) {
    this.root.replaceChildren(...parts);
  }

  async #run(alert, buttons, act) {
    alert.textContent = "";
    for (const button of buttons) button.disabled = true;
    try {
      await act();
    } catch (error) {
      alert.textContent = safeText(error.message);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }
}

function notice(text = "") {
  return el("p", { class: "alert", role: "alert", text: safeText(text) });
}

let fields = 0;

function field(label, props) {
  const id = `field-${++fields}`;
  const input = el("input", { type: "text", id, ...props });
  return { input, row: el("div", { class: "field" }, el("label", { for: id, text: label }), input) };
}
