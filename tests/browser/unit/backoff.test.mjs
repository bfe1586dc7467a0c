// When the page connects again, and when it does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { afterClose, FIRST_MS, LONGEST_MS, waitFor } from "../../../web/js/net/backoff.js";

test("waits double up to the longest, spread over their upper half", () => {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
    for (const random of [0, 0.3, 0.999]) {
      const wait = waitFor(attempt, random);
      assert.ok(wait >= ceiling / 2 && wait <= ceiling, `${attempt} ${random}: ${wait}`);
    }
    assert.notEqual(waitFor(attempt, 0.1), waitFor(attempt, 0.9));
  }
});

test("what the server asks for comes first", () => {
  assert.ok(waitFor(0, 0, 3000) >= 3000);
});

test("application codes decide: 4000 to 4499 end it, the rest comes back", () => {
  for (const code of [4000, 4001, 4003, 4006, 4499]) assert.equal(afterClose(code, "x").reconnect, false, String(code));
  for (const code of [1000, 1001, 1006, 1011, 4500, 4501, 4999]) assert.equal(afterClose(code, "x").reconnect, true, String(code));
});

test("what the server does not take is not sent again", () => {
  for (const code of [1002, 1003, 1007, 1009]) {
    const end = afterClose(code, "a message is too large");
    assert.deepEqual([end.reconnect, end.code], [false, code]);
    assert.match(end.reason, /^This page sent/);
  }
});

test("the last frame says more than the code", () => {
  const bye = { code: 4500, reason: "The server is restarting.", reconnect: true, after_ms: 1200 };
  assert.deepEqual(afterClose(1006, "", bye), { reconnect: true, code: 4500, reason: "The server is restarting.", afterMs: 1200 });
  assert.equal(afterClose(4001, "", { code: 4001, reason: "r", reconnect: true, after_ms: 0 }).reconnect, false, "a final code stays final");
  assert.equal(afterClose(4500, "", { code: 4500, reason: "r", reconnect: false, after_ms: 0 }).reconnect, false);
  assert.equal(afterClose(4500, "", { ...bye, after_ms: 1e12 }).afterMs, 600_000, "no server sends a page away for ever");
  assert.equal(afterClose(4500, "", { ...bye, after_ms: "x" }).afterMs, 0);
});
