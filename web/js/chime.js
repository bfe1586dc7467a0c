// One soft note when a whisper arrives, if sound is on. Made by the browser: no file is fetched.

import * as settings from "./settings.js";

let context = null;

/** Plays the note. Silent when sound is off, or the browser allows none yet. */
export function chime() {
  if (settings.get("sound") !== "on" || typeof AudioContext === "undefined") return;
  context ??= new AudioContext();
  const now = context.currentTime;
  const gain = context.createGain();
  gain.gain.setValueAtTime(0, now);
  gain.gain.linearRampToValueAtTime(0.08, now + 0.02);
  gain.gain.exponentialRampToValueAtTime(0.0001, now + 0.9);
  gain.connect(context.destination);
  for (const [hertz, share] of [[523.25, 1], [784, 0.4]]) {
    const tone = context.createOscillator();
    const level = context.createGain();
    level.gain.value = share;
    tone.frequency.value = hertz;
    tone.connect(level).connect(gain);
    tone.start(now);
    tone.stop(now + 1);
  }
}
