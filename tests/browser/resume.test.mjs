// The server is killed in the middle of talk and comes back: the page says so in words, comes back by itself, and marks what was
// missed. Nothing is lost, nothing comes twice.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, Player, Server } from "./harness.mjs";

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// The longest wait of each step, so that Ann is still away while Ben is back.
const patient = { before: (page) => page.addInitScript(() => { Math.random = () => 0.999; }) };

test("killed and restarted, the server gives back everything said", async () => {
  const ann = await Player.guest(browser, server.url, patient);
  const ben = await Player.guest(browser, server.url);
  await ben.type("say before the storm");
  await ben.reads("You say: before the storm");
  await ann.reads(`${ben.name} says: before the storm`);

  await server.kill();
  await ann.page.waitForFunction(() => /Connection lost/.test(document.querySelector("#status").textContent));
  await ann.type("say into the void");
  await ann.reads("Not connected. Your line is kept.");
  assert.equal(await ann.page.inputValue("#command"), "say into the void");
  // Down long enough that the next try of Ann's page is some seconds off.
  await ann.page.waitForFunction(() => Number(/in (\d+) s/.exec(document.querySelector("#countdown").textContent)?.[1]) >= 7);
  await server.start();
  await ben.page.reload();
  await ben.entered();
  for (let at = 1; at <= 5; at += 1) {
    await ben.type(`say missed line ${at}`);
    await ben.reads(`You say: missed line ${at}`);
  }
  assert.notEqual(await ann.page.textContent("#status"), "Connected");
  await ann.page.click("#retry");
  await ann.entered();
  await ann.reads(`${ben.name} says: missed line 5`);
  await ann.reads("You are back");
  await ben.type("say live again");
  await ann.reads(`${ben.name} says: live again`);

  const lines = await ann.lines();
  const at = (text) => {
    assert.equal(lines.filter((line) => line === text).length, 1, `once: ${text}\n${lines.join("\n")}`);
    return lines.indexOf(text);
  };
  const order = [
    `${ben.name} says: before the storm`, "While you were away", ...[1, 2, 3, 4, 5].map((n) => `${ben.name} says: missed line ${n}`), "You are back", `${ben.name} says: live again`,
  ].map(at);
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
  assert.equal(await ann.page.locator("#log .missed", { hasText: "missed line" }).count(), 5);
  await ann.type("say heard you all");
  await ben.reads(`${ann.name} says: heard you all`);
  await ann.leave();
  await ben.leave();
});

test("killed in the middle of a word: each line is said once, whether its answer came or not", async (t) => {
  const ann = await Player.guest(browser, server.url);
  const ben = await Player.guest(browser, server.url);
  const said = Array.from({ length: 12 }, (_, at) => `wave ${at + 1}`);
  // All in one turn of the page, so that most are still on their way when the power goes.
  await ann.page.evaluate((lines) => {
    for (const line of lines) {
      document.querySelector("#command").value = `say ${line}`;
      document.querySelector("#prompt").requestSubmit();
    }
  }, said);
  await ann.reads(`You say: ${said[0]}`);
  await server.kill();
  t.diagnostic(`answered before the kill: ${(await ann.lines()).filter((line) => line.startsWith("You say: wave")).length} of ${said.length}`);
  await ann.page.waitForFunction(() => document.documentElement.dataset.phase === "waiting");
  await server.start();
  await ann.entered();
  await ben.entered();
  await ann.reads(`You say: ${said.at(-1)}`);
  await ben.reads(`${ann.name} says: ${said.at(-1)}`);
  await ann.sync();
  await ben.sync();
  const read = async (player, by) => (await player.lines()).filter((line) => line.startsWith(by) && line.includes("wave"));
  assert.deepEqual(await read(ann, "You say: "), said.map((text) => `You say: ${text}`));
  assert.deepEqual(await read(ben, `${ann.name} says: `), said.map((text) => `${ann.name} says: ${text}`));
  await ann.leave();
  await ben.leave();
});

test("a page that was away finds by itself that the server is back", async () => {
  const ann = await Player.guest(browser, server.url);
  await server.kill();
  await ann.page.waitForFunction(() => document.documentElement.dataset.phase === "waiting");
  await server.start();
  await ann.entered();
  await ann.type("say still here");
  await ann.reads("You say: still here");
  await ann.leave();
});

test("the same character elsewhere takes over, and this page says so and stays away", async () => {
  const ann = await Player.guest(browser, server.url);
  const second = await ann.context.newPage();
  await second.goto(server.url);
  await second.locator("#door-body button").first().click();
  await second.waitForFunction(() => document.documentElement.dataset.phase === "online");
  await ann.page.locator("#ended").waitFor({ state: "visible" });
  assert.match(await ann.page.textContent("#ended"), /from somewhere else/);
  assert.equal(await ann.page.textContent("#status"), "Disconnected");
  await ann.page.getByRole("button", { name: "Take the character back" }).click();
  await ann.entered();
  await second.locator("#ended").waitFor({ state: "visible" });
  await ann.leave();
});
