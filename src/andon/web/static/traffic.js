// The list of traffic goes on looking by itself; two that are ticked are compared; x ticks the selected row.
const list = document.getElementById("hits");
const pick = document.getElementById("pick");
const button = document.getElementById("compare");

function chosen() {
  return [...document.querySelectorAll("#hits input[name=pick]:checked")];
}

function counted() {
  if (!button) return;
  const n = chosen().length;
  button.disabled = n !== 2;
  button.title = n === 2 ? "" : "Tick two of the list";
}

pick?.addEventListener("change", () => {
  const all = chosen();
  if (all.length > 2) all.find((box) => box !== document.activeElement).checked = false;
  counted();
});
addEventListener("pageshow", () => setTimeout(counted)); // andon.js enables all buttons then
counted();

document.addEventListener("keydown", (event) => {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
  document.querySelector("#hits [data-selected] input[name=pick]")?.click();
});

const going = document.getElementById("going");
if (going && list) goOn();

async function goOn() {
  const status = going.querySelector("[role=status]");
  const again = going.querySelector("a");
  const stop = document.createElement("button");
  Object.assign(stop, { type: "button", className: "btn", textContent: "Stop" });
  let stopped = false;
  stop.addEventListener("click", () => (stopped = true));
  again.hidden = true;
  again.after(stop);
  going.classList.add("busy");
  let next = going.dataset.next;
  while (!stopped && next && list.children.length < Number(going.dataset.most)) {
    const answer = await fetch(`${next}&long=yes`, { headers: { "x-andon-live": "1" } }).catch(() => null);
    if (!answer?.ok) break;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    list.append(...[...page.querySelectorAll("#hits > li")].map((row) => document.importNode(row, true)));
    const more = page.getElementById("going");
    const older = page.querySelector("a[rel=next]");
    next = more?.dataset.next ?? older?.getAttribute("href") ?? "";
    if (more) {
      const told = more.querySelector("[role=status] time");
      status.replaceChildren("Looking back: ", document.importNode(told, true), `, ${list.children.length} found so far`);
    } else if (!older) {
      status.textContent = list.children.length ? `All was looked through: ${list.children.length} found.` : "All was looked through, and nothing is like this.";
    }
  }
  going.classList.remove("busy");
  stop.remove();
  if (next) {
    if (list.children.length >= Number(going.dataset.most)) status.textContent = `${list.children.length} found, and there may be older ones.`;
    again.href = next;
    again.hidden = false;
  } else {
    again.remove();
  }
  document.getElementById("shown").textContent = `${list.children.length} shown`;
}
