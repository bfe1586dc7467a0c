// For everyone: by keyboard alone, by screen reader (axe's rules, roles and names), on a narrow screen, by day and by night.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch, Player, Server } from "./harness.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
/** Findings of these weights fail; the rest is printed. */
const GRAVE = ["serious", "critical"];

let server, browser;
before(async () => {
  server = await Server.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function axe(t, page, where) {
  // Through the debugger, not the page: the content policy allows no foreign script.
  const { readFile } = await import("node:fs/promises");
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(await readFile(AXE, "utf8"));
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const { id, impact, help } of violations) t.diagnostic(`${where}: ${impact}: ${id}: ${help}`);
  const grave = violations.filter(({ impact }) => GRAVE.includes(impact)).map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(grave, [], where);
}

for (const colorScheme of ["dark", "light"]) {
  for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 700 }]) {
    test(`axe finds nothing serious, ${colorScheme}, ${viewport.width} wide`, async (t) => {
      const ann = await Player.arrive(browser, server.url, { viewport, colorScheme, reducedMotion: "reduce" });
      await ann.page.waitForSelector("#guest");
      await axe(t, ann.page, "the door");
      await ann.page.click("#sign-up");
      await axe(t, ann.page, "the form");
      await ann.page.getByRole("button", { name: "Back" }).click();
      await ann.page.click("#guest");
      await ann.entered();
      const ben = await Player.guest(browser, server.url);
      await ben.type("say hello");
      await ben.type("global hello");
      await ben.type(`whisper ${ann.name} hello`);
      await ann.reads(/\[whisper\]/);
      await ann.type("go nowhere-at-all");
      await ann.page.locator(".k-refusal").first().waitFor();
      await axe(t, ann.page, "the world");
      if (viewport.width < 800) await ann.page.click("#place-toggle");
      await ann.page.locator("#people button", { hasText: ben.name }).click();
      await axe(t, ann.page, "a menu");
      await ann.page.keyboard.press("Escape");
      await ann.page.waitForSelector("#command[data-commands]");
      await ann.page.fill("#command", "w");
      await ann.page.press("#command", "Tab");
      await axe(t, ann.page, "completions");
      await ann.page.press("#command", "Escape");
      for (const name of ["settings", "help"]) {
        await ann.page.click(`#world [data-open=${name}]`);
        await axe(t, ann.page, name);
        await ann.page.keyboard.press("Escape");
      }
      await ben.leave();
      await ann.leave();
    });
  }
}

test("the roles and names a screen reader builds on", async () => {
  const ann = await Player.guest(browser, server.url);
  const { page } = ann;
  const log = page.getByRole("log");
  assert.equal(await log.getAttribute("aria-live"), "polite");
  assert.equal(await page.getByRole("status").textContent(), "Connected");
  assert.equal(await page.getByRole("tablist", { name: "Channels" }).count(), 1);
  assert.equal(await page.getByRole("tab", { name: "All", selected: true }).count(), 1);
  assert.equal(await page.getByRole("tabpanel").count(), 1);
  assert.equal(await page.getByRole("combobox", { name: "Command" }).count(), 1);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), await ann.room);
  assert.ok((await page.getByRole("navigation", { name: "Exits" }).getByRole("button").count()) > 0);
  assert.ok((await page.locator("#map-list li").count()) > 0, "the map stands there in words too");
  await page.getByRole("tab", { name: "Global" }).click();
  assert.equal(await page.getByRole("combobox", { name: /global/ }).count(), 1, "the line says where it will be heard");
  await ann.leave();
});

test("everything by keyboard alone", async () => {
  const ann = await Player.arrive(browser, server.url);
  const { page } = ann;
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.dataset.direction || document.activeElement.className);
  await page.waitForFunction(() => document.activeElement?.id === "guest");
  await keyboard.press("Enter");
  await ann.entered();
  assert.equal(await focused(), "command");

  // Completion: a shared start, a list, a choice; and no trap.
  await page.waitForFunction(() => document.querySelector("#exits button") && document.querySelector("#command").dataset.commands);
  await keyboard.type("whisp");
  await keyboard.press("Tab");
  assert.equal(await page.inputValue("#command"), "whisper ");
  await page.fill("#command", "w");
  await keyboard.press("Tab");
  await page.locator("#choices [role=option]").first().waitFor();
  assert.equal(await page.getAttribute("#command", "aria-expanded"), "true");
  const chosen = await page.locator("#choices [aria-selected=true] span").textContent();
  assert.equal(await page.getAttribute("#command", "aria-activedescendant"), await page.locator("#choices [aria-selected=true]").getAttribute("id"));
  await keyboard.press("Enter");
  assert.equal(await page.inputValue("#command"), `${chosen} `);
  await page.fill("#command", "");
  await keyboard.press("Tab");
  assert.notEqual(await focused(), "command", "Tab moves on where there is nothing to complete");
  await keyboard.press("Escape");
  assert.equal(await focused(), "command");

  // Walking, by the exits' keys.
  const from = await ann.room;
  await keyboard.press("Alt+e");
  await keyboard.press("Enter");
  await page.waitForFunction((old) => document.querySelector("#room-name").textContent !== old, from);
  await keyboard.press("Escape");

  // Speaking, and the lines before.
  await keyboard.type("say one");
  await keyboard.press("Enter");
  await ann.reads("You say: one");
  await keyboard.press("ArrowUp");
  assert.equal(await page.inputValue("#command"), "say one");
  await keyboard.press("ArrowDown");
  assert.equal(await page.inputValue("#command"), "");

  // Tabs: by number, and by arrows.
  await keyboard.press("Alt+4");
  assert.equal(await page.getByRole("tab", { selected: true }).getAttribute("data-channel"), "global");
  await ann.tab("global").focus();
  await keyboard.press("ArrowRight");
  assert.equal(await focused(), "tab-whisper");
  await keyboard.press("Home");
  assert.equal(await focused(), "tab-all");
  await keyboard.press("End");
  assert.equal(await focused(), "tab-system");
  await keyboard.press("Alt+1");

  // Dialogs open, close, and give the focus back.
  await keyboard.press("Escape");
  await keyboard.press("Control+/");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await keyboard.press("Escape");
  assert.equal(await focused(), "command");
  await keyboard.press("Alt+l");
  assert.equal(await focused(), "log");

  // And Tab alone reaches every control that is to be seen.
  const controls = await page.locator("#world button:visible, #world input:visible, #world summary:visible, #world [tabindex='0']:visible").evaluateAll((all) => {
    const wanted = all.filter((one) => one.tabIndex >= 0);
    wanted.forEach((one, at) => { one.dataset.reach = String(at); });
    return wanted.length;
  });
  const reached = new Set();
  await page.evaluate(() => document.activeElement.blur());
  for (let at = 0; at < 3 * controls && reached.size < controls; at += 1) {
    await keyboard.press("Tab");
    const at = await page.evaluate(() => document.activeElement.dataset.reach);
    if (at !== undefined) reached.add(at);
  }
  assert.equal(reached.size, controls);
  ann.fine();
  await ann.leave();
});

test("where Alt writes a character, whoever types gets it", async () => {
  const before = (page) => page.addInitScript(() => Object.defineProperty(navigator, "platform", { value: "MacIntel" }));
  const ann = await Player.guest(browser, server.url, { before });
  // Whether the page takes the key for itself, and where the focus is then.
  const press = (from, key, code) => ann.page.evaluate(([from, key, code]) => {
    const node = document.getElementById(from);
    node.focus();
    const taken = !node.dispatchEvent(new KeyboardEvent("keydown", { key, code, altKey: true, bubbles: true, cancelable: true }));
    return [taken, document.activeElement.id];
  }, [from, key, code]);
  assert.deepEqual(await press("command", "@", "KeyL"), [false, "command"]);
  assert.deepEqual(await press("command", "Dead", "KeyE"), [false, "command"]);
  assert.deepEqual(await press("command", "|", "Digit7"), [false, "command"]);
  assert.deepEqual(await press("command", "l", "KeyL"), [true, "log"]);
  assert.deepEqual(await press("room-name", "@", "KeyL"), [true, "log"], "where nothing is typed it is the key");
  ann.fine();
  await ann.leave();
});

test("a person's menu by keyboard", async () => {
  const ann = await Player.guest(browser, server.url);
  const ben = await Player.guest(browser, server.url);
  const { page } = ann;
  await page.locator("#people button", { hasText: ben.name }).focus();
  await page.keyboard.press("ArrowDown");
  await page.getByRole("menu").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Whisper");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Look");
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.name), ben.name);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("#command"), `whisper ${ben.name} `);
  assert.equal(await page.evaluate(() => document.activeElement.id), "command");
  await ben.leave();
  await ann.leave();
});

test("a narrow screen holds it all without scrolling sideways", async () => {
  const ann = await Player.guest(browser, server.url, { viewport: { width: 320, height: 640 }, hasTouch: true });
  const { page } = ann;
  const sideways = () => page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  assert.ok((await sideways()) <= 0);
  await ann.type(`say ${"unbroken".repeat(40)}`);
  await ann.reads(/unbroken/);
  assert.ok((await sideways()) <= 0);
  assert.ok(await page.locator("#log").evaluate((log) => log.scrollWidth <= log.clientWidth));
  const inside = async (selector) => {
    const box = await page.locator(selector).boundingBox();
    return box.x >= 0 && box.x + box.width <= 320 && box.y + box.height <= 640;
  };
  for (const selector of ["#command", ".send", "#place-toggle", "#tab-all"]) assert.ok(await inside(selector), selector);
  assert.equal(await page.locator("#room-description").isVisible(), false);
  await page.tap("#place-toggle");
  assert.equal(await page.getAttribute("#place-toggle", "aria-expanded"), "true");
  assert.ok(await page.locator("#room-description").isVisible());
  assert.ok(await inside("#command"), "the line stays where it is");
  await page.tap("#place-toggle");
  const from = await ann.room;
  await page.locator("#exits button").first().tap();
  await page.waitForFunction((old) => document.querySelector("#room-name").textContent !== old, from);
  await ann.leave();
});

test("what one chose is kept: light, text size, times", async () => {
  const ann = await Player.guest(browser, server.url, { colorScheme: "dark" });
  const { page } = ann;
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const night = await ground();
  await page.click("#world [data-open=settings]");
  await page.getByLabel("By day").check();
  await page.getByLabel("Very large").check();
  await page.getByLabel("Before each line").check();
  await page.keyboard.press("Escape");
  assert.notEqual(await ground(), night);
  assert.ok(await page.locator("#log time").first().isVisible());
  await page.reload();
  await ann.entered();
  assert.notEqual(await ground(), night);
  assert.equal(await page.locator("#log").evaluate((log) => getComputedStyle(log).fontSize), "24px");
  await ann.leave();
});
