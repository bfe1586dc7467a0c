// The state of the connection in words, and its end with what can be done about it. The words change once for each change of state; the
// seconds count down beside them, where a screen reader does not repeat them.

import { byId, el } from "../dom.js";

export class Status {
  #ticking = null;

  constructor({ again, door, retry }) {
    Object.assign(this, { again, door });
    byId("retry").addEventListener("click", () => {
      byId("command").focus();
      retry();
    });
  }

  show(phase) {
    clearInterval(this.#ticking);
    const root = document.documentElement;
    root.dataset.phase = phase.name;
    byId("countdown").replaceChildren();
    byId("ended").hidden = phase.name !== "ended" || phase.code === 4000;
    byId("retry").hidden = phase.name !== "waiting" || phase.asked;
    const words = {
      idle: "", online: "Connected", ended: "Disconnected",
      connecting: phase.again ? "Connecting again…" : "Connecting…",
      waiting: phase.reason ? `Connection lost: ${lower(phase.reason)}` : "Connection lost. Trying again",
    }[phase.name];
    if (byId("status").textContent !== words) byId("status").textContent = words;
    if (phase.name === "waiting") this.#count(phase.retryAt);
    if (phase.name === "ended") this.#ended(phase);
  }

  #count(until) {
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      byId("countdown").textContent = seconds > 1 ? `in ${seconds} s` : "";
    };
    tick();
    this.#ticking = setInterval(tick, 1000);
  }

  #ended({ reason, code }) {
    const again = code !== 4002 && code !== 4003 && code !== 4005;
    byId("ended").replaceChildren(
      el("p", { role: "alert", text: reason || "The connection has ended." }),
      el("div", { class: "row" },
        again ? el("button", { type: "button", class: "lit", text: code === 4001 ? "Take the character back" : "Enter again", on: { click: () => this.again() } }) : null,
        el("button", { type: "button", class: "plain", text: "Back to the door", on: { click: () => this.door() } })));
    if (document.activeElement === document.body || document.activeElement === byId("command")) byId("ended").querySelector("button").focus();
  }
}

function lower(text) {
  return text.replace(/\.$/, "");
}
