// What a line of the log is: which channel it belongs to, and how its text is made safe to show. Pure.

/** The tabs, in order. `staff` is shown once there is something to read in it. */
export const CHANNELS = ["all", "room", "local", "global", "whisper", "party", "system", "staff"];

const BY_WORD = {
  say: "room", emote: "room", pose: "room",
  local: "local", global: "global", whisper: "whisper", reply: "whisper", party: "party", system: "system", staff: "staff",
};

/** The channel of an event's kind or a reply's key, `chat.whisper.self` for example; `null` where it is not speech. */
export function channelOf(name) {
  const [family, word] = String(name ?? "").split(".");
  if (family === "chat") return BY_WORD[word] ?? "room";
  if (family === "event") return word === "party" ? "party" : "room";
  if (family === "party") return "party";
  return null;
}

// C0 without the line feed, DEL, C1; and the marks that turn the direction of text around or hide in it.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]/gu;

/** Text with every control character made visible, so that an escape sequence is seen and does nothing. */
export function safeText(text) {
  return String(text ?? "").replace(/\r\n/g, "\n").replace(CONTROL, (char) => {
    const code = char.codePointAt(0);
    if (code === 9) return "    ";
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

/** Which of a few tints a speaker's name takes: the same for the same name, everywhere. */
export function tintOf(name, tints = 6) {
  let hash = 0;
  for (const char of String(name).toLowerCase()) hash = (hash * 31 + char.codePointAt(0)) % 9973;
  return hash % tints;
}

/**
 * Splits a spoken line into what leads and what was said, where the event says so: the lead is set back, the words stand out.
 * `Ann says: hello` with the message `hello` gives `["Ann says: ", "hello"]`; anything else gives the whole line as lead.
 */
export function splitSpeech(text, message) {
  if (typeof message === "string" && message !== "" && text.endsWith(message) && text.length > message.length) {
    return [text.slice(0, text.length - message.length), message];
  }
  return [text, ""];
}

/** A list in words: `a`, `a and b`, `a, b and c`. */
export function inWords(items) {
  if (items.length < 2) return items.join("");
  return `${items.slice(0, -1).join(", ")} and ${items[items.length - 1]}`;
}
