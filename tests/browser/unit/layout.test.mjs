// The map: what is drawn, and the same in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, layout } from "../../../web/js/layout.js";

const MAP = {
  zone: "h", name: "Harbour", here: "quay",
  rooms: {
    quay: { name: "Quay", at: { x: 4, y: 4 }, exits: { east: { to: "market" }, down: { to: "cellar" }, out: { to: "elsewhere_gate" } } },
    market: { name: "Market", at: { x: 5, y: 4 }, exits: { west: { to: "quay" }, north: { to: "square" } } },
    square: { name: "Square", at: { x: 5, y: 3 }, exits: {} },
    cellar: { name: "Cellar", at: { x: 4, y: 5 }, exits: { up: { to: "quay" } } },
    far: { name: "Far", at: { x: 40, y: 4 }, exits: { west: { to: "market" } } },
  },
};

test("rooms are placed around where one is; what is far is left out", () => {
  const { rooms } = layout(MAP);
  assert.deepEqual(rooms.map(({ id, x, y, here, direction }) => [id, x, y, here, direction]), [
    ["quay", 0, 0, true, null], ["market", 1, 0, false, "east"], ["square", 1, -1, false, null], ["cellar", 0, 1, false, "down"],
  ]);
});

test("a path is drawn once, and says whether there is a way back", () => {
  assert.deepEqual(layout(MAP).paths.map(({ from, to, oneWay }) => [from.id, to.id, oneWay]), [
    ["quay", "market", false], ["quay", "cellar", false], ["market", "square", true],
  ]);
});

test("a place that is on no map draws nothing", () => {
  for (const map of [null, undefined, {}, { here: "x", rooms: {} }, { ...MAP, here: "x" }]) {
    assert.deepEqual(layout(map), { rooms: [], paths: [] });
    assert.deepEqual(describe(map), []);
  }
});

test("in words, where one is comes first", () => {
  const words = describe(MAP);
  assert.equal(words[0], "Quay, where you are: east to Market, down to Cellar, out to somewhere else.");
  assert.equal(words.length, 5);
  assert.ok(words.includes("Square: no way out."));
});
