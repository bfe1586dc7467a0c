// Takes the picture of the page that the README shows: two people talking in the demo world. `npm run picture` writes
// docs/page.png; look at it before it is committed.

import { fileURLToPath } from "node:url";
import { launch, Player, Server } from "./harness.mjs";

const PICTURE = fileURLToPath(new URL("../../docs/page.png", import.meta.url));

async function named(browser, url, name, options) {
  const player = await Player.arrive(browser, url, options);
  const { page } = player;
  await page.click("#sign-up");
  await page.fill("input[name=username]", name.toLowerCase());
  await page.fill("input[name=password]", "a lamp by the water");
  await page.press("input[name=password]", "Enter");
  await page.fill("input[name=character]", name);
  await page.press("input[name=character]", "Enter");
  await player.entered();
  return player;
}

// Chromium dithers the wide glow over the page, which doubles the weight of a PNG and shows nothing at this size.
const withoutGlow = () => document.documentElement.style.setProperty("--glow", "transparent");

const server = await Server.start();
const browser = await launch();
try {
  const marigold = await named(browser, server.url, "Marigold", { viewport: { width: 1120, height: 880 }, colorScheme: "dark", reducedMotion: "reduce" });
  const tobias = await named(browser, server.url, "Tobias");
  const talk = [
    [tobias, "say Is this where one waits for the late boat?", `${tobias.name} says: Is this where one waits for the late boat?`],
    [marigold, "say It is where one waits. The boat keeps its own counsel.", "You say: It is where one waits. The boat keeps its own counsel."],
    [tobias, "dance", /Tobias dances/],
    [tobias, `whisper ${marigold.name} do you know a quiet way up the hill?`, /\[whisper\] Tobias to you/],
    [marigold, "global Tea in the Lantern Hall, and the kettle is warm.", /\[global\] You: Tea/],
  ];
  for (const [who, line, seen] of talk) {
    await who.type(line);
    await marigold.reads(seen);
  }
  await marigold.page.waitForSelector("#map svg");
  await marigold.page.evaluate(withoutGlow);
  await marigold.page.screenshot({ path: PICTURE });
} finally {
  await browser.close();
  await server.stop();
}
