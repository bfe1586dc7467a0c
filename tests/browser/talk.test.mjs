// An evening of two: walking, talking, whispering, muting, and text that tries to be more than text.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, Player, Server } from "./harness.mjs";

let server, browser, ann, ben;
before(async () => {
  server = await Server.start();
  browser = await launch();
  ann = await Player.guest(browser, server.url);
  ben = await Player.guest(browser, server.url);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a second person arrives, and both see each other", async () => {
  await ann.reads(`${ben.name} has joined the world.`);
  await ann.page.locator("#people button", { hasText: ben.name }).waitFor();
  await ben.page.locator("#people button", { hasText: ann.name }).waitFor();
});

test("what one says the other reads, in the server's voice; the line clears and keeps the focus", async () => {
  await ann.type("say Good evening");
  await ann.reads("You say: Good evening");
  await ben.reads(`${ann.name} says: Good evening`);
  assert.equal(await ann.page.inputValue("#command"), "");
  assert.equal(await ann.page.evaluate(() => document.activeElement.id), "command");
  await ben.type("'And to you");
  await ann.reads(`${ben.name} says: And to you`);
});

test("channels are tabs: each holds its own lines, and counts what is unread", async () => {
  await ann.tab("room").click();
  await ben.type("global Anyone at the ferry?");
  await ann.tab("global").locator(".unread", { hasText: "1" }).waitFor();
  assert.equal(await ann.line(`[global] ${ben.name}: Anyone at the ferry?`).isVisible(), false, "not in the room's tab");
  await ann.tab("global").click();
  await ann.reads(`[global] ${ben.name}: Anyone at the ferry?`);
  assert.equal(await ann.tab("global").locator(".unread").isVisible(), false);
  assert.equal(await ann.line(`${ben.name} says: And to you`).isVisible(), false, "the room's talk is in the room's tab");
  await ann.type("I am");
  await ben.reads(`[global] ${ann.name}: I am`);
  await ann.type("/say a slash makes a command of it");
  await ben.reads(`${ann.name} says: a slash makes a command of it`);
  await ann.tab("all").click();
  await ann.reads(`${ben.name} says: And to you`);
});

test("a whisper starts at a person's name and reaches that one alone", async () => {
  const cora = await Player.guest(browser, server.url);
  await ann.page.locator("#people button", { hasText: ben.name }).click();
  await ann.page.getByRole("menuitem", { name: "Whisper" }).click();
  assert.equal(await ann.page.inputValue("#command"), `whisper ${ben.name} `);
  await ann.page.keyboard.type("meet me by the lamp");
  await ann.page.keyboard.press("Enter");
  await ann.reads(`[whisper] You to ${ben.name}: meet me by the lamp`);
  await ben.reads(`[whisper] ${ann.name} to you: meet me by the lamp`);
  await cora.sync();
  assert.equal(await cora.line(/meet me by the lamp/).count(), 0);
  await cora.leave();
});

test("an exit is a button; one walks, and the other sees it", async () => {
  const from = await ann.room;
  const way = ann.page.locator("#exits button").first();
  const direction = await way.getAttribute("data-direction");
  await way.click();
  await ann.reads(`You go ${direction}.`);
  await ann.page.waitForFunction((old) => document.querySelector("#room-name").textContent !== old, from);
  await ben.reads(new RegExp(`${ann.name} leaves`));
  await ben.page.locator("#people button", { hasText: ann.name }).waitFor({ state: "detached" });
  assert.equal(await ann.page.title(), `${await ann.room} · Tidings`);
  await ann.page.locator("#log .k-room", { hasText: await ann.room }).last().waitFor();
  await ann.page.locator("#map svg g.here").waitFor();
  // Back by the map: the room next door is a button of the drawing.
  const back = ann.page.locator("#map [role=button]", { hasText: from }).first();
  await back.focus();
  await ann.page.keyboard.press("Enter");
  await ann.page.waitForFunction((name) => document.querySelector("#room-name").textContent === name, from);
  await ben.reads(new RegExp(`${ann.name} arrives`));
  await ben.page.locator("#people button", { hasText: ann.name }).waitFor();
});

test("a mute holds from its confirmation, on every channel, until it is taken back", async () => {
  await ann.type(`mute ${ben.name}`);
  await ann.reads(`You have muted ${ben.name}.`);
  await ben.type("say can you hear me");
  await ben.reads("You say: can you hear me");
  await ben.type("global or here");
  await ben.reads("[global] You: or here");
  await ann.sync();
  assert.equal(await ann.line(/can you hear me|or here/).count(), 0);
  await ann.type(`unmute ${ben.name}`);
  await ann.reads(`You have unmuted ${ben.name}.`);
  await ben.type("say and now");
  await ann.reads(`${ben.name} says: and now`);
});

test("markup is text", async () => {
  const line = "<img src=x onerror=document.title='owned'><b>bold</b> &amp; <script>document.title='owned'</script>";
  await ben.type(`say ${line}`);
  await ann.reads(`${ben.name} says: ${line}`);
  for (const player of [ann, ben]) {
    assert.equal(await player.page.locator("#log img, #log script").count(), 0);
    assert.doesNotMatch(await player.page.title(), /owned/);
  }
});

test("an escape sequence does nothing, whether the server takes it or not", async () => {
  await ben.type("say \u001b[31mred\u001b[2J\u202etxt");
  await ben.line(/red|control|characters/i).last().waitFor();
  await ann.sync();
  for (const player of [ann, ben]) assert.doesNotMatch((await player.lines()).join("\n"), /[\u001b\u202e]/u);
});

test("a refusal is shown as one, and the line typed is in the history", async () => {
  await ann.type("say");
  assert.match(await (await ann.reads("Say what?")).getAttribute("class"), /k-refusal/);
  await ann.type("whisper nobody-of-that-name hello");
  await ann.reads("There is no player called 'nobody-of-that-name'.");
  await ann.page.keyboard.press("ArrowUp");
  assert.equal(await ann.page.inputValue("#command"), "whisper nobody-of-that-name hello");
  await ann.page.fill("#command", "");
});

test("reading above the end is not disturbed; a button leads to the new lines", async () => {
  for (let at = 0; at < 30; at += 1) await ann.type(`say line ${at}`);
  await ann.reads("You say: line 29");
  await ann.page.locator("#log").evaluate((log) => { log.scrollTop = 0; });
  await ben.reads(`${ann.name} says: line 29`);
  await ben.type("say something new");
  await ann.page.locator("#new-lines").waitFor({ state: "visible" });
  assert.equal(await ann.page.locator("#log").evaluate((log) => log.scrollTop), 0);
  await ann.page.click("#new-lines");
  await ann.page.waitForFunction(() => {
    const log = document.querySelector("#log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  });
  assert.equal(await ann.page.locator("#new-lines").isVisible(), false);
});

test("at the end, the log follows even what is taller than a line", async () => {
  for (let at = 0; at < 4; at += 1) await ann.sync();
  await ann.type("help");
  await ann.type("channel list");
  await ann.line(/^Channels:/).last().waitFor();
  await ann.page.waitForFunction(() => {
    const log = document.querySelector("#log");
    return log.scrollHeight - log.scrollTop - log.clientHeight < 4;
  });
});

test("after all that, no fault in either console", () => {
  ann.fine();
  ben.fine();
});
