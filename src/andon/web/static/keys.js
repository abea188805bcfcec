// The keyboard. `?` lists what can be pressed. Single keys only outside of fields; `g` and then a letter goes somewhere;
// j and k walk through the rows of a list; an element with `data-key` is clicked by that key.

const ALWAYS = [
  ["g, then a letter", "go to a page (below)"],
  ["j / k", "next / previous row"],
  ["Enter", "open the row"],
  ["/", "search or filter"],
  ["Esc", "close, or leave a field"],
  ["?", "this list"],
];

let going = 0;
let at = -1;

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const field = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      document.querySelectorAll("details.menu[open]").forEach((m) => {
        m.open = false;
        m.querySelector("summary").focus();
      });
      if (field) field.blur();
      return;
    }
    if (field || document.querySelector("dialog[open]")) return;
    if (press(event)) event.preventDefault();
  });
}

function press(event) {
  const key = event.key;
  if (going && Date.now() - going < 1500) {
    going = 0;
    const link = document.querySelector(`[data-go="${CSS.escape(key)}"]`);
    if (link) link.click();
    return Boolean(link);
  }
  if (key === "g") {
    going = Date.now();
    return true;
  }
  if (key === "?") return list();
  const own = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (own) {
    if (own.matches("input, textarea, select")) own.focus();
    else {
      const menu = own.closest("details:not([open])");
      if (menu && !own.matches("summary")) menu.open = true;
      own.click();
    }
    return true;
  }
  if (key === "/") {
    const search = document.querySelector("input[type=search], [data-search]");
    search?.focus();
    search?.select?.();
    return Boolean(search);
  }
  if (key === "j" || key === "k") return step(key === "j" ? 1 : -1);
  if (key === "Enter" && event.target === document.body) {
    const link = rows()[at]?.querySelector("a[href]");
    link?.click();
    return Boolean(link);
  }
  return false;
}

function rows() {
  return [...document.querySelectorAll("main tbody tr, main .list > li")];
}

function step(by) {
  const all = rows();
  if (!all.length) return false;
  at = Math.max(0, Math.min(all.length - 1, at + by));
  all.forEach((row, n) => row.toggleAttribute("data-selected", n === at));
  const link = all[at].querySelector("a[href], button");
  (link ?? all[at]).focus?.();
  all[at].scrollIntoView({ block: "nearest" });
  return true;
}

function list() {
  const dialog = document.getElementById("keys");
  const here = [...document.querySelectorAll("[data-key]")].map((e) => [e.dataset.key, e.dataset.keyTitle ?? e.ariaLabel ?? text(e)]);
  const places = [...document.querySelectorAll("[data-go]")].map((e) => [`g ${e.dataset.go}`, e.textContent.trim()]);
  const box = dialog.querySelector(".keys");
  box.replaceChildren(
    ...[...here, ...ALWAYS, ...places].map(([key, what]) => {
      const row = document.createElement("div");
      const kbd = document.createElement("kbd");
      kbd.textContent = key;
      row.append(what, kbd);
      return row;
    }),
  );
  dialog.showModal();
  return true;
}

function text(element) {
  const copy = element.cloneNode(true);
  copy.querySelectorAll("kbd").forEach((k) => k.remove());
  return copy.textContent.trim() || element.name || element.title;
}
