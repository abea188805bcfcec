// An open incident: its clock counts up, x ticks the selected item of the runbook, an opened menu has the cursor in its first field.

function words(s) {
  if (s < 120) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  const days = Math.floor(hours / 24);
  if (days >= 60) return `${Math.round(hours / 24)} d`;
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

// The server's clock counts: the reader's may be wrong, and a demo plays the past.
const began = new WeakMap();
function count() {
  for (const clock of document.querySelectorAll("[data-since]")) {
    if (!began.has(clock)) began.set(clock, performance.now());
    const passed = (performance.now() - began.get(clock)) / 1000;
    const text = words((Number(clock.dataset.now) - Number(clock.dataset.since)) / 1e6 + passed);
    if (clock.textContent !== text) clock.textContent = text;
  }
}
count();
setInterval(count, 1000);

document.addEventListener("keydown", (event) => {
  if (event.key !== "x" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;
  document.querySelector(".runbook > [data-selected] form button")?.click();
});

document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.matches?.("details.menu") && event.target.open) {
      event.target.querySelector(".panel :is(textarea, select, input:not([type=hidden]))")?.focus();
    }
  },
  true,
);

// Where one is, in the list of parts.
const links = new Map([...document.querySelectorAll(".toc a")].map((a) => [a.hash.slice(1), a.closest("li")]));
if (links.size) {
  const seen = new Set();
  const watch = new IntersectionObserver(
    (entries) => {
      for (const e of entries) e.isIntersecting ? seen.add(e.target.id) : seen.delete(e.target.id);
      const first = [...links.keys()].find((id) => seen.has(id));
      links.forEach((li, id) => li.classList.toggle("here", id === first));
    },
    { rootMargin: "0px 0px -60% 0px" },
  );
  links.forEach((_, id) => document.getElementById(id) && watch.observe(document.getElementById(id)));
}
