// What pages gain where there is a script. Everything works without it: links and forms do the work.
import { keepFresh } from "./live.js";
import { listenToKeys } from "./keys.js";

// Times are shown in the reader's zone: the server learns it here, once.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes("andon_zone=")) {
  document.cookie = `andon_zone=${zone};path=/;max-age=34560000;samesite=lax`;
  if (document.body.dataset.zone !== zone && document.querySelector("time")) location.reload();
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied", button);
  } catch {
    say("The browser did not allow copying", button);
  }
}

function say(text, near) {
  document.getElementById("live").textContent = text;
  if (!near) return;
  const before = near.textContent;
  near.textContent = text;
  setTimeout(() => (near.textContent = before), 1500);
}

document.addEventListener("click", async (event) => {
  const from = event.target.closest("[data-copy-from]");
  if (from && navigator.clipboard) {
    event.preventDefault();
    const answer = await fetch(from.href);
    await copy(answer.ok ? await answer.text() : "", from);
    return;
  }
  const what = event.target.closest("[data-copy]");
  if (what) await copy(document.querySelector(what.dataset.copy).textContent, what);
});

// A menu closes when something else is clicked, or by Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// A form is sent once, and asks first where what it does is grave.
const changed = new Set();
document.addEventListener("input", (event) => event.target.form && changed.add(event.target.form));
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.confirm && !confirm(form.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  changed.delete(form);
  if (form.method === "post") {
    setTimeout(() => form.querySelectorAll("button").forEach((b) => (b.disabled = true)));
  }
});
addEventListener("pageshow", () => document.querySelectorAll("form button").forEach((b) => (b.disabled = false)));
addEventListener("beforeunload", (event) => {
  if ([...changed].some((f) => f.isConnected && f.method === "post" && f.querySelector("textarea"))) event.preventDefault();
});

// A filter is sent when it is changed.
document.addEventListener("change", (event) => event.target.closest("form[data-auto]")?.requestSubmit());

// A form that was refused shows its page at the address that it was sent to: give it the page's own, which can be loaded again.
const here = document.querySelector("form .wrong")?.closest("form").elements.from?.value;
if (here) history.replaceState(null, "", here);
document.querySelector(".wrong")?.closest("details")?.setAttribute("open", "");
document.querySelector(".wrong")?.scrollIntoView({ block: "center" });

listenToKeys();
keepFresh(say);
