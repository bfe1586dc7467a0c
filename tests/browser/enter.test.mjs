// Coming in: how fast, how heavy, as whom; and coming back after a reload.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, Player, Server } from "./harness.mjs";

/** The whole page on the wire, in bytes: what a slow line loads in a few seconds. */
const WEIGHT_MAX = 60_000;
/** From the click to a room one can act in, in milliseconds. The promise to a newcomer is a second; a debug build gets more. */
const USABLE_MAX_MS = 5_000;

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a newcomer is in the world after one click, over little wire", async (t) => {
  const opened = Date.now();
  const ann = await Player.arrive(browser, server.url);
  await ann.page.waitForSelector("#guest");
  const clicked = Date.now();
  await ann.page.click("#guest");
  await ann.entered();
  const usable = Date.now();
  const weight = await ann.page.evaluate(() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({ name }) => !name.includes("/api/")).reduce((sum, { transferSize, encodedBodySize }) => sum + Math.max(transferSize, encodedBodySize), 0));
  t.diagnostic(`page weight on the wire: ${weight} bytes; page shown after ${clicked - opened} ms; from the click to the room: ${usable - clicked} ms`);
  assert.ok(weight > 5_000 && weight < WEIGHT_MAX, `${weight} bytes`);
  assert.ok(usable - clicked < USABLE_MAX_MS, `${usable - clicked} ms`);
  assert.notEqual(await ann.room, "");
  assert.equal(await ann.page.textContent("#status"), "Connected");
  assert.equal(await ann.page.evaluate(() => document.activeElement.id), "command", "one can type at once");
  await ann.reads(`Welcome, ${ann.name}.`);
  ann.fine();
  await ann.leave();
});

test("everything comes from this server, under a policy without inline script or style", async () => {
  const asked = [];
  const ann = await Player.arrive(browser, server.url, { before: (page) => page.on("request", (request) => asked.push(new URL(request.url()).origin)) });
  const policy = (await (await fetch(server.url)).headers.get("content-security-policy")) ?? "";
  assert.match(policy, /default-src 'none'|script-src 'self'|default-src 'self'/);
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval/);
  await ann.page.click("#guest");
  await ann.entered();
  assert.deepEqual([...new Set(asked)], [server.url]);
  assert.equal(await ann.page.locator("[style], script:not([src])").count(), 0);
  ann.fine();
  await ann.leave();
});

test("a reload goes on where one was, with nothing said twice", async () => {
  const ann = await Player.guest(browser, server.url);
  await ann.type("say before the reload");
  await ann.reads("You say: before the reload");
  const [room, name] = [await ann.room, ann.name];
  await ann.page.reload();
  await ann.entered();
  assert.deepEqual([await ann.room, ann.name], [room, name]);
  await ann.type("say after the reload");
  await ann.reads("You say: after the reload");
  const lines = await ann.lines();
  for (const text of ["You say: before the reload", `Welcome, ${name}.`]) assert.equal(lines.filter((line) => line === text).length, 1, text);
  await ann.page.keyboard.press("ArrowUp");
  await ann.page.keyboard.press("ArrowUp");
  assert.equal(await ann.page.inputValue("#command"), "say before the reload", "and the lines typed before are there");
  ann.fine();
  await ann.leave();
});

test("no token is kept where a later visitor of this browser could find it", async () => {
  const ann = await Player.guest(browser, server.url);
  const kept = await ann.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.doesNotMatch(kept, /access_token|csrf|eyJ|password/);
  assert.equal(await ann.page.evaluate(() => document.cookie), "", "the refresh cookie is out of a script's reach");
  await ann.leave();
});

test("leaving shows the door again", async () => {
  const ann = await Player.guest(browser, server.url);
  await ann.page.click("#leave");
  await ann.page.locator("#door").waitFor({ state: "visible" });
  assert.equal(await ann.page.locator("#world").isVisible(), false);
  await ann.leave();
});

test("an account: made, refused when the password is wrong, with characters to choose", async () => {
  const username = `page${Date.now() % 1e9}`;
  const ann = await Player.arrive(browser, server.url);
  const { page } = ann;
  const credentials = async (password) => {
    await page.fill("input[name=username]", username);
    await page.fill("input[name=password]", password);
    await page.press("input[name=password]", "Enter");
  };
  await page.click("#sign-up");
  await credentials("a lamp by the water");
  await page.fill("input[name=character]", "Marigold");
  await page.press("input[name=character]", "Enter");
  await ann.entered();
  assert.equal(ann.name, "Marigold");
  await page.click("#leave");
  await page.getByRole("button", { name: /Marigold/ }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.click("#sign-in");
  await credentials("not the password");
  await page.locator("#door-body [role=alert]", { hasText: /./ }).waitFor();
  await credentials("a lamp by the water");
  await page.getByRole("button", { name: /Marigold/ }).click();
  await ann.entered();
  assert.equal(ann.name, "Marigold");
  await ann.leave();
});
