// Sets the chosen theme and text size before the first paint. The only script that is not a module: a module would
// run after it, and the page would flash.
(() => {
  const root = document.documentElement;
  try {
    const kept = JSON.parse(localStorage.getItem("tidings.settings") ?? "{}");
    if (kept.theme === "light" || kept.theme === "dark") root.dataset.theme = kept.theme;
    if (["small", "large", "huge"].includes(kept.size)) root.dataset.size = kept.size;
  } catch {
    // Without storage the page follows the system.
  }
})();
