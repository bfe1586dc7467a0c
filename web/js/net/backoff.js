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

/**
 * What the end of a socket means: whether to connect again, after how long, and what to say. `bye` is the server's last frame,
 * if there was one. 4000-4499 end the session; everything else comes back.
 */
export function afterClose(code, reason, bye) {
  const last = bye ?? { code, reason, after_ms: 0 };
  const final = last.code >= 4000 && last.code < 4500;
  return {
    reconnect: bye?.reconnect === undefined ? !final : bye.reconnect && !final,
    code: last.code,
    reason: last.reason || "",
    afterMs: Math.max(0, Math.min(Number(last.after_ms) || 0, 600_000)),
  };
}
