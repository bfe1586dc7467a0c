// The two dialogs: settings, and the keys. Native dialogs keep the focus inside and give it back.

import { byId, el } from "../dom.js";
import * as settings from "../settings.js";

const LABELS = {
  theme: ["Light", { system: "As the system", dark: "By night", light: "By day" }],
  size: ["Text", { small: "Small", medium: "Medium", large: "Large", huge: "Very large" }],
  times: ["Times", { off: "Hidden", on: "Before each line" }],
  sound: ["Sound at a whisper", { off: "Off", on: "On" }],
};
const ORDER = { size: ["small", "medium", "large", "huge"] };

/** What every key does, as the dialog lists it. */
export const KEYS = [
  ["Enter", "Send the line"],
  ["Tab", "Complete a command, a name or a direction; again for the next choice. With nothing to complete it moves on"],
  ["↑ ↓", "Earlier and later lines; in a list, move"],
  ["Escape", "Close what is open; from anywhere else, back to the command line"],
  ["Page Up, Page Down", "Scroll the log from the command line"],
  ["Alt 1 … 7", "Choose a channel"],
  ["Alt L", "To the log"],
  ["Alt R", "To the place: its name, ways out, people, map"],
  ["Alt E", "To the exits"],
  ["Alt P", "To the people"],
  ["Alt M", "To the map"],
  ["Ctrl /", "This list"],
];

function head(dialog, id, title) {
  return el("header", { class: "dialog-head" }, el("h2", { id, text: title }), el("button", { type: "button", class: "quiet", text: "Close", on: { click: () => dialog.close() } }));
}

function closeOutside(dialog) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

export function makeSettings() {
  const dialog = byId("settings");
  const fields = Object.entries(LABELS).map(([name, [label, words]]) =>
    el("fieldset", { class: "choice" }, el("legend", { text: label }),
      ...(ORDER[name] ?? settings.CHOICES[name]).map((value) => {
        const input = el("input", { type: "radio", name, value, on: { change: () => settings.set(name, value) } });
        input.checked = settings.get(name) === value;
        return el("label", {}, input, el("span", { text: words[value] }));
      })));
  dialog.append(el("div", { class: "dialog-body" }, head(dialog, "settings-title", "Settings"), ...fields));
  closeOutside(dialog);
  return dialog;
}

export function makeHelp() {
  const dialog = byId("help");
  const list = el("dl", { class: "keys" });
  for (const [keys, what] of KEYS) list.append(el("div", {}, el("dt", {}, ...keys.split(", ").flatMap((key, at) => [at ? ", " : "", el("kbd", { text: key })])), el("dd", { text: what })));
  dialog.append(el("div", { class: "dialog-body" }, head(dialog, "help-title", "Keys"), list,
    el("p", { class: "dim", text: "What you can do in the world: type help." })));
  closeOutside(dialog);
  return dialog;
}
