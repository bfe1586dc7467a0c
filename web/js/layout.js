// Where the map draws what: rooms on their grid, paths between them, the window around where one is. Pure.

/** Half the width and height of the window, in rooms. */
export const REACH_X = 2;
export const REACH_Y = 2;

/**
 * The rooms in reach with their paths: `{ rooms: [{ id, name, x, y, here, direction, exits }], paths: [{ from, to, oneWay }] }`. `x` and `y` are
 * relative to where one is; `direction` is set on rooms one step away.
 */
export function layout(map) {
  const known = placed(map);
  const here = known[map?.here];
  if (!here) return { rooms: [], paths: [] };
  const ways = new Map(Object.entries(here.exits ?? {}).map(([direction, to]) => [target(to), direction]));
  const rooms = [];
  for (const [id, room] of Object.entries(known)) {
    const [x, y] = [room.x - here.x, room.y - here.y];
    if (!(Math.abs(x) <= REACH_X && Math.abs(y) <= REACH_Y)) continue;
    rooms.push({ id, name: room.name ?? id, x, y, here: id === map.here, direction: ways.get(id) ?? null, exits: room.exits ?? {} });
  }
  const shown = new Map(rooms.map((room) => [room.id, room]));
  const paths = new Map();
  for (const room of rooms) {
    for (const to of Object.values(room.exits).map(target)) {
      const other = shown.get(to);
      if (!other || other.id === room.id) continue;
      const key = [room.id, other.id].sort().join(" ");
      const back = Object.values(other.exits).map(target).includes(room.id);
      if (!paths.has(key)) paths.set(key, { from: room, to: other, oneWay: !back });
    }
  }
  return { rooms, paths: [...paths.values()] };
}

function placed(map) {
  return Object.fromEntries(Object.entries(map?.rooms ?? {}).map(([id, room]) => [id, { ...room, x: room.at?.x, y: room.at?.y }]));
}

function target(exit) {
  return exit?.to;
}

/** The map in words: a line a room, where one is first, then the nearest. */
export function describe(map) {
  const known = placed(map);
  const here = known[map?.here];
  if (!here) return [];
  const far = (room) => Math.abs(room.x - here.x) + Math.abs(room.y - here.y);
  return Object.entries(known)
    .sort(([a, one], [b, two]) => (b === map.here) - (a === map.here) || far(one) - far(two) || (a < b ? -1 : 1))
    .map(([id, room]) => {
      const ways = Object.entries(room.exits ?? {}).map(([direction, to]) => `${direction} to ${known[target(to)]?.name ?? "somewhere else"}`);
      return `${room.name}${id === map.here ? ", where you are" : ""}: ${ways.length ? ways.join(", ") : "no way out"}.`;
    });
}
