// The socket's life: connect, hello, heartbeat, loss, wait, connect again; and the commands in flight.
//
// It knows frames by their outside only: `welcome`, `reply`, `error`, `pong`, `bye`, and the `position` any frame may carry. What a frame
// means is the model's affair.

import { afterClose, waitFor } from "./backoff.js";

/** The sub-protocol spoken here. */
const PROTOCOL = "tidings.v1.json";
/** Heartbeat before `welcome` names one, in milliseconds. */
const HEARTBEAT_MS = 25_000;
/** A socket that was pinged and said nothing at all for so long is given up. */
const SILENCE_MS = 10_000;
/** A `hello` without an answer for so long is given up: as long as a command's deadline at the server. */
const WELCOME_MS = 15_000;
/** Commands in flight at most; the server keeps `limits.burst` (20) in order. */
export const PENDING_MAX = 20;

/**
 * `hello` makes the first frame (it may ask for a ticket first) and throws when there is no way in; `onFrame` gets every frame;
 * `onPhase` gets `{ name: "idle" | "connecting" | "online" | "waiting" | "ended", reason, code, retryAt }`.
 */
export class Connection {
  #socket = null;
  #timers = new Map();
  #bye = null;
  #attempt = 0;
  #turn = 0;
  #counter = 0;
  #session = null;
  #answered = new Set();
  #heard = 0;
  #heartbeat = HEARTBEAT_MS;
  // Unique in the session even over a reload of the page: an id is an idempotency key.
  #prefix = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  constructor({ url, hello, onFrame, onPhase, onLost }) {
    Object.assign(this, { url, hello, onFrame, onPhase, onLost });
    this.phase = { name: "idle" };
    /** The last position of any frame; given back as it came. */
    this.position = null;
    /** Commands without an outcome yet, by id, in order. */
    this.pending = new Map();
    addEventListener("online", () => this.#soon());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#soon());
  }

  /** Connects now. */
  async start() {
    this.#clear();
    this.#drop();
    this.#enter({ name: "connecting", again: this.#attempt > 0 });
    const turn = ++this.#turn;
    let first;
    try {
      first = await this.hello();
    } catch (error) {
      if (turn !== this.#turn) return;
      if (error.final) this.#enter({ name: "ended", code: error.code ?? 0, reason: error.message });
      else this.#wait(error.retryAfterMs ?? 0, error.message);
      return;
    }
    if (turn === this.#turn) this.#open(first);
  }

  /** Ends it from this side; nothing comes back. */
  stop() {
    this.#turn++;
    this.#clear();
    this.#drop();
    this.#attempt = 0;
    this.pending.clear();
    this.#session = null;
    this.#enter({ name: "idle" });
  }

  /** Sends a line; its id, or `null` where it cannot be sent now. */
  command(text, note) {
    if (this.phase.name !== "online" || this.pending.size >= PENDING_MAX) return null;
    const id = `${this.#prefix}-${++this.#counter}`;
    this.pending.set(id, { text, note });
    this.#send({ type: "command", id, text });
    return id;
  }

  /** Asks for a view. */
  ask(what, page) {
    if (this.phase.name === "online") this.#send(page ? { type: "state", what, page } : { type: "state", what });
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #open(first) {
    const socket = new WebSocket(this.url, PROTOCOL);
    this.#socket = socket;
    this.#bye = null;
    this.#after("welcome", WELCOME_MS, () => socket === this.#socket && this.#lost(1006, "The server did not answer."));
    socket.onopen = () => this.#send(first);
    socket.onmessage = ({ data }) => socket === this.#socket && this.#take(data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost(code, reason);
  }

  #take(data) {
    this.#heard = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame === null || typeof frame !== "object") return;
    if (frame.position) this.position = frame.position;
    if (frame.type === "welcome") this.#welcome(frame);
    let done;
    // Sent again while the first is still on its way: that one's outcome comes.
    if (frame.type === "error" && frame.code === "invalid_argument" && this.pending.get(frame.id)?.again) return;
    if (frame.type === "reply" || (frame.type === "error" && frame.id)) {
      done = this.pending.get(frame.id);
      this.pending.delete(frame.id);
      // A repeat of a command that was answered in the lines we missed.
      if (!done && this.#answered.has(frame.id)) return;
      this.#remember(frame.id);
    }
    if (frame.type === "bye") this.#bye = frame;
    this.onFrame(frame, done);
  }

  #remember(id) {
    this.#answered.add(id);
    if (this.#answered.size > 4 * PENDING_MAX) this.#answered.delete(this.#answered.values().next().value);
  }

  #welcome(frame) {
    this.#cancel("welcome");
    this.#attempt = 0;
    this.#heartbeat = frame.heartbeat_ms > 0 ? frame.heartbeat_ms : HEARTBEAT_MS;
    this.#beat();
    // The same session knows its commands by id, so what may have been lost on the way is sent again; another session does not.
    if (frame.session === this.#session) this.#sendAgain();
    else this.pending.clear();
    this.#session = frame.session;
    this.#enter({ name: "online" });
  }

  #sendAgain() {
    for (const [id, command] of this.pending) {
      command.again = true;
      this.#send({ type: "command", id, text: command.text });
    }
  }

  #beat() {
    this.#after("beat", this.#heartbeat, () => {
      const asked = Date.now();
      this.#send({ type: "ping" });
      this.#after("silence", SILENCE_MS, () => this.#heard < asked && this.#lost(1006, "The server went silent."));
      this.#beat();
    });
  }

  #lost(code, reason) {
    const end = afterClose(code, reason, this.#bye);
    const wasOnline = this.phase.name === "online";
    this.#clear();
    this.#drop();
    if (wasOnline) this.onLost?.(end);
    if (end.reconnect) this.#wait(end.afterMs, end.reason);
    else this.#enter({ name: "ended", code: end.code, reason: end.reason });
  }

  #wait(afterMs, reason) {
    const delay = waitFor(this.#attempt++, Math.random(), afterMs);
    this.#enter({ name: "waiting", reason, retryAt: Date.now() + delay, asked: afterMs > 0 });
    this.#after("retry", delay, () => this.start());
  }

  // The network is back, or somebody looks again: no use in waiting longer, unless the server asked for it.
  #soon() {
    if (this.phase.name === "waiting" && !this.phase.asked) this.start();
    else if (this.phase.name === "online" && Date.now() - this.#heard > this.#heartbeat + SILENCE_MS) this.#lost(1006, "");
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #enter(phase) {
    this.phase = phase;
    this.onPhase(phase);
  }

  #after(name, delay, action) {
    this.#cancel(name);
    this.#timers.set(name, setTimeout(action, delay));
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #clear() {
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
  }
}
