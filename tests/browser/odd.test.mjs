// What a server seldom does: frames of later versions, closes of every sort, crowds, holes. The page and its files are the real
// server's; the socket and the routes of identity are played by the test.

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

const position = (seq) => ({ epoch: "e", seq });
const json = (status, body) => ({ status, contentType: "application/json", body: JSON.stringify(body) });

function roomState(people = [], more = {}) {
  return {
    type: "state", what: "room", position: position(2), character: { id: "a1", name: "Ann" },
    room: { id: "t_room", name: "Test Room", description: "Plain.", zone: "t", exits: { east: { name: "east", place: "Elsewhere", to: "t_elsewhere" } }, occupants: { items: people, total: people.length, next: null, ...more } },
  };
}

function said(text, seq, more = {}) {
  return { type: "event", kind: "chat.say", audience: "room", seq, position: position(seq), time: new Date().toISOString(), from: { id: "b1", name: "Ben" }, text: `Ben says: ${text}`, data: { message: text }, ...more };
}

/** A page in front of a played server. `sockets` are the connections so far: `{ hello, commands, asked, send(frame), bye(frame) }`. */
async function play(welcome = {}, state = roomState()) {
  const sockets = [];
  const before = async (page) => {
    await page.route("**/api/v1/**", (route) => {
      const path = new URL(route.request().url()).pathname;
      if (path.endsWith("/tickets")) return route.fulfill(json(201, { ticket: "t" }));
      return route.fulfill(json(200, { access_token: "a", expires_in: 900, csrf_token: "c", characters: [] }));
    });
    await page.routeWebSocket("**/ws", (ws) => {
      const socket = { hello: null, commands: [], asked: [], send: (frame) => ws.send(JSON.stringify(frame)), raw: (text) => ws.send(text), close: (code) => ws.close({ code }) };
      socket.bye = (frame) => {
        socket.send({ type: "bye", ...frame });
        ws.close({ code: frame.code });
      };
      sockets.push(socket);
      ws.onMessage((text) => {
        const frame = JSON.parse(text);
        if (frame.type === "hello") {
          socket.hello = frame;
          const given = typeof welcome === "function" ? welcome(frame, sockets.length) : welcome;
          if (given === null) return;
          socket.send({ type: "welcome", session: "s1", resume: `secret-${sockets.length}`, character: { id: "a1", name: "Ann" }, recovered: Boolean(frame.resume), reason: null, position: position(1), heartbeat_ms: 25000, limits: {}, ...given });
          socket.send(state);
        } else if (frame.type === "command") socket.commands.push(frame);
        else if (frame.type === "state") socket.asked.push(frame);
      });
    });
  };
  const ann = await Player.arrive(browser, server.url, { before });
  await ann.page.click("#guest");
  return { ann, sockets, wait: (count) => waitUntil(() => sockets.length >= count && sockets[count - 1].hello) };
}

async function waitUntil(holds) {
  for (let turn = 0; !holds(); turn += 1) {
    assert.ok(turn < 1500, "it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("the first hello carries ticket and CSRF token; frames of later versions are passed over", async () => {
  const { ann, sockets } = await play();
  await ann.entered();
  assert.deepEqual(sockets[0].hello, { type: "hello", ticket: "t", csrf: "c" });
  for (const frame of [{ type: "aurora", position: position(3) }, { type: "state", what: "stars" }, { type: "event", kind: "event.eclipse", data: null }, [], 7, null]) sockets[0].send(frame);
  sockets[0].raw("not json at all");
  sockets[0].send(said("still here", 5, { colour: "green" }));
  await ann.reads("Ben says: still here");
  ann.fine();
  await ann.leave();
});

test("a final code ends it, in words, and nothing comes back by itself", async () => {
  for (const [code, reason] of [[4001, "Your character has connected from somewhere else."], [4004, "You have been sent out of the world."], [4499, "Enough."]]) {
    const { ann, sockets } = await play();
    await ann.entered();
    sockets[0].bye({ code, reason, reconnect: false, after_ms: 0 });
    await ann.page.locator("#ended", { hasText: reason }).waitFor();
    assert.equal(await ann.page.textContent("#status"), "Disconnected");
    await ann.page.evaluate(() => dispatchEvent(new Event("online")));
    await ann.page.getByRole("button", { name: /Enter again|Take the character back/ }).click();
    await waitUntil(() => sockets.length === 2 && sockets[1].hello);
    assert.equal(sockets[1].hello.ticket, "t", "anew, with a ticket");
    assert.equal(sockets[1].hello.character, "Ann");
    await ann.leave();
  }
});

test("a line that the server does not take is not sent again", async () => {
  const { ann, sockets } = await play();
  await ann.entered();
  await ann.type("say too much");
  await waitUntil(() => sockets[0].commands.length === 1);
  sockets[0].close(1009);
  await ann.page.locator("#ended", { hasText: "This page sent something that the server does not take." }).waitFor();
  await ann.page.evaluate(() => dispatchEvent(new Event("online")));
  await ann.page.getByRole("button", { name: "Enter again" }).click();
  await waitUntil(() => sockets.length === 2 && sockets[1].hello);
  assert.deepEqual([sockets[1].hello.ticket, sockets[1].commands], ["t", []]);
  await ann.leave();
});

test("a passing code comes back after the time it names, with secret and last position as they came", async () => {
  const { ann, sockets, wait } = await play();
  await ann.entered();
  sockets[0].send(said("one", 41, { position: { epoch: "e", seq: 41, behind: { "room.t_room": 39 }, later: [1] } }));
  await ann.reads("Ben says: one");
  const left = Date.now();
  sockets[0].bye({ code: 4500, reason: "The server is restarting.", reconnect: true, after_ms: 700 });
  await wait(2);
  assert.ok(Date.now() - left >= 690, "not before it was asked to");
  assert.deepEqual(sockets[1].hello, { type: "hello", resume: { secret: "secret-1", position: { epoch: "e", seq: 41, behind: { "room.t_room": 39 }, later: [1] } } });
  await ann.leave();
});

test("a command without an answer is sent again under its id, and its answer shown once", async () => {
  const { ann, sockets, wait } = await play();
  await ann.entered();
  await ann.type("say did it go?");
  await waitUntil(() => sockets[0].commands.length === 1);
  sockets[0].close(4504);
  await wait(2);
  await waitUntil(() => sockets[1].commands.length === 1);
  assert.deepEqual(sockets[1].commands[0], sockets[0].commands[0]);
  sockets[1].send({ type: "error", id: sockets[0].commands[0].id, code: "invalid_argument", message: "A command of this id is under way." });
  const reply = { type: "reply", id: sockets[0].commands[0].id, ok: true, text: "You say: did it go?", key: "chat.say.self", position: position(9) };
  sockets[1].send(reply);
  sockets[1].send(reply);
  sockets[1].send(said("yes", 10));
  await ann.reads("Ben says: yes");
  assert.equal(await ann.line("You say: did it go?").count(), 1);
  assert.equal(await ann.line(/under way/).count(), 0);
  await ann.leave();
});

test("a hole is said, never hidden", async () => {
  const { ann, sockets, wait } = await play((frame) => (frame.resume ? { recovered: false, reason: "too_old" } : {}));
  await ann.entered();
  sockets[0].close(4504);
  await wait(2);
  await ann.page.locator("#log .k-divider", { hasText: "some lines may have been lost" }).filter({ hasText: "You were away for longer than the server keeps what was said." }).waitFor();
  await ann.leave();
});

test("a refused resume leads to a way in, not to a loop", async () => {
  const { ann, sockets, wait } = await play((frame) => (frame.resume ? null : {}));
  await ann.entered();
  sockets[0].close(4504);
  await wait(2);
  sockets[1].bye({ code: 4006, reason: "This session cannot be resumed. Please enter again.", reconnect: false, after_ms: 0 });
  await ann.page.getByRole("button", { name: "Enter again" }).click();
  await wait(3);
  assert.equal(sockets[2].hello.resume, undefined);
  await ann.entered();
  await ann.leave();
});

test("an error of the edge is shown with when to try again, and the line goes on", async () => {
  const { ann, sockets } = await play();
  await ann.entered();
  await ann.type("say fast");
  await waitUntil(() => sockets[0].commands.length === 1);
  sockets[0].send({ type: "error", id: sockets[0].commands[0].id, code: "rate_limited", message: "Too many commands.", retry_after_ms: 900 });
  await ann.reads("Too many commands. Try again in 1 s.");
  await ann.type("say slower");
  await waitUntil(() => sockets[0].commands.length === 2);
  await ann.leave();
});

test("escape sequences and marks that turn text around are shown as what they are", async () => {
  const { ann, sockets } = await play({}, roomState([{ id: "b1", name: "B\u001b[5men", kind: "player" }]));
  await ann.entered();
  sockets[0].send(said("\u001b]0;owned\u0007 \u202eevil\u2066 \u009b2J <u>x</u>", 5));
  const line = await ann.reads(/owned/);
  assert.equal(await line.textContent(), "Ben says: \u241b]0;owned\u2407 <U+202E>evil<U+2066> <U+009B>2J <u>x</u>");
  assert.equal(await ann.page.locator("#people .who").textContent(), "B\u241b[5men");
  assert.equal(await ann.page.locator("#log u").count(), 0);
  await ann.leave();
});

test("a crowd comes in pages, and a flood of lines stays bounded", async () => {
  const crowd = Array.from({ length: 50 }, (_, at) => ({ id: `c${at}`, name: `Guest${at}`, kind: "player" }));
  const { ann, sockets } = await play({}, roomState(crowd, { total: 5000, next: "p2" }));
  await ann.entered();
  await ann.page.getByRole("button", { name: "4950 more" }).click();
  await waitUntil(() => sockets[0].asked.some(({ what, page }) => what === "occupants" && page === "p2"));
  for (let at = 0; at < 1500; at += 1) sockets[0].send(said(`line ${at}`, 10 + at));
  await ann.reads("Ben says: line 1499");
  assert.equal(await ann.page.locator("#log > *").count(), 1000);
  assert.equal(await ann.line("Ben says: line 12").count(), 0);
  await ann.leave();
});

test("guests who may not enter read why", async () => {
  const ann = await Player.arrive(browser, server.url, {
    before: (page) => page.route("**/api/v1/guests", (route) => route.fulfill(json(403, { code: "permission_denied", detail: "Guests may not enter this world. Please make an account." }))),
  });
  await ann.page.click("#guest");
  await ann.page.getByRole("alert").filter({ hasText: "Guests may not enter this world." }).waitFor();
  assert.ok(await ann.page.locator("#guest").isEnabled());
  await ann.leave();
});
