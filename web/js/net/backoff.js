// When to connect again. Pure: the random number and the clock are given.

/** First wait, in milliseconds; doubled at each attempt. Short, since most losses are a blink. */
export const FIRST_MS = 500;
/** Longest wait, in milliseconds. */
export const LONGEST_MS = 16_000;

/**
 * How long to wait before attempt `attempt` (0 is the first after a loss): exponential with jitter over the upper half, so that
 * a thousand pages do not come back at once, and never at once themselves. `afterMs` is what the server asked for.
 */
export function waitFor(attempt, random, afterMs = 0) {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(afterMs + ceiling * (0.5 + random / 2));
}

/** WebSocket's own codes for what was sent: sent again, it would end the same way. */
const NOT_TAKEN = new Set([1002, 1003, 1007, 1009]);

/**
 * What the end of a socket means: whether to connect again, after how long, and what to say. `bye` is the server's last frame,
 * if there was one. 4000-4499 end the session, and so does what the server cannot take; everything else comes back.
 */
export function afterClose(code, reason, bye) {
  const refused = { code, reason: "This page sent something that the server does not take." };
  const last = bye ?? (NOT_TAKEN.has(code) ? refused : { code, reason });
  const final = (last.code >= 4000 && last.code < 4500) || last === refused;
  return {
    reconnect: bye?.reconnect === undefined ? !final : bye.reconnect && !final,
    code: last.code,
    reason: last.reason || "",
    afterMs: Math.max(0, Math.min(Number(last.after_ms) || 0, 600_000)),
  };
}
