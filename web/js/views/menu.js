// What one can do with a person: a small menu under the person's button. One at a time; Escape and leaving it close it.

import { el } from "../dom.js";

let open = null;

/** Opens the menu of `button` with `items`: `[{ text, act }]`; a second press closes it. */
export function toggleMenu(button, items) {
  const own = open?.button === button;
  closeMenu();
  if (own) return;
  const menu = el("ul", { role: "menu", class: "menu", "aria-label": button.dataset.name });
  for (const { text, act } of items) {
    const item = el("li", { role: "menuitem", tabindex: "-1", text });
    item.addEventListener("click", () => {
      closeMenu({ focus: true });
      act();
    });
    menu.append(item);
  }
  menu.addEventListener("keydown", key);
  menu.addEventListener("focusout", (event) => !menu.contains(event.relatedTarget) && closeMenu());
  button.after(menu);
  button.setAttribute("aria-expanded", "true");
  open = { button, menu };
  menu.firstElementChild.focus();
  menu.scrollIntoView({ block: "nearest" });
}

export function closeMenu({ focus = false } = {}) {
  if (!open) return;
  const { button, menu } = open;
  open = null;
  menu.remove();
  button.setAttribute("aria-expanded", "false");
  if (focus) button.focus();
}

/** Whether a menu of an element inside `root` is open. */
export function isMenuOpen(root) {
  return open !== null && root.contains(open.menu);
}

function key(event) {
  const items = [...open.menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
  if (to !== undefined) items[to % items.length].focus();
  else if (event.key === "Enter" || event.key === " ") items[at]?.click();
  else if (event.key === "Escape") closeMenu({ focus: true });
  else return;
  event.preventDefault();
  event.stopPropagation();
}
