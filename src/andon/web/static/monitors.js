// Drag across a control chart to see that part of it: the range goes into the address, so the view can be shared.

const NS = "http://www.w3.org/2000/svg";
const LEAST = 8; // what is dragged less far is a click

document.body.classList.add("zooms");
let drag = null;

document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest?.("[data-zoom] svg.chart");
  if (!svg || event.button !== 0 || event.pointerType === "touch") return;
  const [left, right, width] = svg.dataset.plot.split(" ").map(Number);
  const box = svg.getBoundingClientRect();
  const at = (e) => Math.min(right, Math.max(left, ((e.clientX - box.left) / box.width) * width));
  drag = { svg, at, left, right, from: at(event), x: event.clientX, moved: false, band: null };
});

document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  if (!drag.moved && Math.abs(event.clientX - drag.x) < LEAST) return;
  if (!drag.moved) {
    drag.moved = true;
    drag.band = drag.svg.appendChild(document.createElementNS(NS, "rect"));
    drag.band.setAttribute("class", "band");
    drag.band.setAttribute("y", 20);
    drag.band.setAttribute("height", 236);
  }
  const to = drag.at(event);
  drag.band.setAttribute("x", Math.min(drag.from, to));
  drag.band.setAttribute("width", Math.abs(to - drag.from));
  event.preventDefault();
});

document.addEventListener("pointerup", (event) => {
  if (!drag) return;
  const { svg, at, left, right, from, moved, band } = drag;
  drag = null;
  if (!moved) return;
  band.remove();
  addEventListener("click", (click) => { click.preventDefault(); click.stopPropagation(); }, { capture: true, once: true });
  setTimeout(() => zoom(svg, left, right, ...[from, at(event)].sort((a, b) => a - b)), 0);
});

// A link would be dragged itself, and be framed as if it had been reached by the keyboard, as browsers do.
document.addEventListener("mousedown", (event) => event.target.closest?.("[data-zoom]") && event.preventDefault());
document.addEventListener("dragstart", (event) => event.target.closest?.("[data-zoom]") && event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !drag) return;
  drag.band?.remove();
  drag = null;
});

function zoom(svg, left, right, low, high) {
  const [start, end] = svg.dataset.span.split(" ").map(Number);
  const time = (x) => Math.round(start + ((x - left) / (right - left)) * (end - start));
  const to = new URL(location.href);
  to.searchParams.delete("range");
  to.searchParams.set("from", time(low));
  to.searchParams.set("to", time(high));
  location.assign(to);
}
