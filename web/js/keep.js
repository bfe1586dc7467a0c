// What a tab keeps over a reload: the resume secret, the last position, the last lines and the lines typed.
//
// A resume secret in sessionStorage lets a reload go on where it was, without a gap. It is this tab's alone, is gone when the tab
// closes, is replaced at every `welcome`, and opens nothing but the one session it belongs to; tokens and passwords are never
// stored. All of it is one item, written together, so that lines and position cannot disagree after a crash.

const KEY = "tidings.tab";

/** Lines kept over a reload. Enough to see where one was; the rest is in the channel's history. */
export const KEPT_LINES = 150;

/** What was kept, or `null`. */
export function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return kept && typeof kept.secret === "string" ? kept : null;
  } catch {
    return null;
  }
}

/** Keeps `{ secret, position, self, room, skew, lines, typed }`. */
export function save(tab) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...tab, lines: tab.lines.slice(-KEPT_LINES) }));
  } catch {
    // A full or forbidden store costs the convenience, nothing else.
  }
}

/** Forgets the session; the next visit enters anew. */
export function forget() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept then.
  }
}
