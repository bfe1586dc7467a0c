// What a person chose for this browser: theme, text size, timestamps, sound. Kept in localStorage, applied as attributes of the
// root element; the style sheets do the rest.

const KEY = "tidings.settings";

/** Every setting with its choices; the first is the default. */
export const CHOICES = {
  theme: ["system", "dark", "light"],
  size: ["medium", "small", "large", "huge"],
  times: ["off", "on"],
  sound: ["off", "on"],
};

const listeners = new Set();
const chosen = read();

function read() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") ?? {};
  } catch {
    // Defaults.
  }
  const result = {};
  for (const [name, choices] of Object.entries(CHOICES)) result[name] = choices.includes(kept[name]) ? kept[name] : choices[0];
  return result;
}

function show() {
  const root = document.documentElement;
  for (const [name, value] of Object.entries(chosen)) {
    if (value === CHOICES[name][0]) delete root.dataset[name];
    else root.dataset[name] = value;
  }
}

/** The choice in force. */
export function get(name) {
  return chosen[name];
}

/** Chooses. A value that is no choice is ignored. */
export function set(name, value) {
  if (!CHOICES[name]?.includes(value)) return;
  chosen[name] = value;
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // Holds until the page is closed, then.
  }
  show();
  for (const listener of listeners) listener(name, value);
}

/** Called after each change. */
export function onChange(listener) {
  listeners.add(listener);
}

show();
