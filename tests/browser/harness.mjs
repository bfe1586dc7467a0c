// What the browser tests stand on: a real server on a free port of the loopback with its own data folder, a real Chromium, and
// players who do what people do at the page. Nothing waits a fixed time: everything waits for what is to be seen.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BINARY = process.env.TIDINGS_BIN ?? fileURLToPath(new URL("../../target/debug/tidings", import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
/** How long anything may take to be seen, in milliseconds: a debug build on a busy machine. */
export const PATIENCE_MS = 15_000;

/** Limits that a test would meet only by being one address with many people. */
const NO_LIMITS = [
  "commands_per_minute", "say_per_minute", "local_per_minute", "global_per_minute", "party_per_minute", "whispers_per_minute",
  "whispers_per_person_per_minute", "connects_per_minute_per_address", "sign_ins_per_minute_per_address", "accounts_per_minute_per_address",
].flatMap((key) => ["--set", `limits.${key}=0`]);

/** A running server: `{ url, kill(), start(), stop() }`; `start` brings it back at its address with its data. */
export class Server {
  static async start() {
    const server = new Server();
    server.data = await mkdtemp(join(tmpdir(), "tidings-page-"));
    server.listen = "127.0.0.1:0";
    await server.start();
    return server;
  }

  async start() {
    const child = spawn(BINARY, ["serve", "--listen", this.listen, "--data", join(this.data, "data"), ...NO_LIMITS], { stdio: ["ignore", "pipe", "inherit"] });
    this.child = child;
    const gone = once(child, "exit").then(([code, signal]) => Promise.reject(new Error(`the server ended (${code ?? signal}) before it printed its address`)));
    gone.catch(() => {});
    this.listen = await Promise.race([address(child.stdout), gone]);
    this.url = `http://${this.listen}`;
  }

  /** As a loss of power: no goodbye. */
  async kill() {
    const ended = once(this.child, "exit");
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGKILL");
      await ended;
    }
  }

  async stop() {
    await this.kill();
    await rm(this.data, { recursive: true, force: true });
  }
}

async function address(output) {
  for await (const line of createInterface({ input: output })) {
    const found = /http:\/\/([\d.]+:\d+)/.exec(line);
    if (found) {
      output.resume();
      return found[1];
    }
  }
  throw new Error("the server did not print its address");
}

/** Starts Chromium without sandbox (tests run as root in containers) and without anything that calls home. */
export function launch() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Somebody at the page. */
export class Player {
  static async arrive(browser, url, options = {}) {
    const player = new Player();
    player.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    player.context.setDefaultTimeout(PATIENCE_MS);
    player.page = await player.context.newPage();
    player.faults = [];
    player.page.on("pageerror", (error) => player.faults.push(String(error)));
    player.page.on("console", (message) => message.type() === "error" && player.faults.push(message.text()));
    if (options.before) await options.before(player.page);
    await player.page.goto(url);
    return player;
  }

  /** A guest in the world. */
  static async guest(browser, url, options) {
    const player = await Player.arrive(browser, url, options);
    await player.page.click("#guest");
    await player.entered();
    return player;
  }

  async entered() {
    await this.page.waitForFunction(() => document.querySelector("#room-name").textContent !== "" && document.documentElement.dataset.phase === "online");
    await this.page.waitForFunction(() => document.querySelector("#self-name").textContent !== "");
    this.name = await this.page.textContent("#self-name");
  }

  get room() {
    return this.page.textContent("#room-name");
  }

  /** Types a line and sends it. */
  async type(line) {
    await this.page.fill("#command", line);
    await this.page.press("#command", "Enter");
  }

  /** Waits until a line of the log reads so, and gives it. */
  async reads(text) {
    const line = this.line(text).first();
    await line.waitFor({ state: "visible" });
    return line;
  }

  /** The lines of the log that read so: their whole text, or a pattern of it. */
  line(text) {
    const pattern = text instanceof RegExp ? text : new RegExp(`^${escape(text)}$`);
    return this.page.locator("#log .line", { hasText: pattern });
  }

  /** Every line of the log, in order. */
  lines() {
    return this.page.locator("#log .line").evaluateAll((all) => all.map((line) => line.textContent));
  }

  /** Sends a line and waits for the answer: everything said before it has arrived by then. */
  async sync() {
    const before = await this.line(/^Online: /).count();
    await this.type("who");
    await this.line(/^Online: /).nth(before).waitFor();
  }

  tab(channel) {
    return this.page.locator(`#tab-${channel}`);
  }

  /** Nothing went wrong that a person would not see. */
  fine() {
    assert.deepEqual(this.faults, []);
  }

  leave() {
    return this.context.close();
  }
}

function escape(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
