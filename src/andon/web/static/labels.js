// The label queue at the keyboard: a suggestion is taken into the field without asking the server, Enter saves.
const form = document.getElementById("answer");
const field = form?.querySelector("textarea");
if (field) Object.assign(field.dataset, { key: "e", keyTitle: "write the right answer" });

function save() {
  if (field.value.trim()) form.requestSubmit();
  else field.focus();
}

document.addEventListener("click", (event) => {
  const offer = event.target.closest("[data-take]");
  if (!offer || !field || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  field.value = document.getElementById(offer.dataset.take).textContent;
  document.querySelectorAll("[data-take]").forEach((o) => o.classList.toggle("taken", o === offer));
  document.getElementById("live").textContent = "The suggestion is in the field. Press Enter to save it.";
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || !field || document.querySelector("dialog[open]")) return;
  const withKey = (event.ctrlKey || event.metaKey) && (event.target === field || event.target === document.body);
  const outside = event.target === document.body && !document.querySelector("[data-selected]");
  if (!withKey && !outside) return;
  event.preventDefault();
  save();
});

// Who opens "Not a failure" by its key goes on with Tab and Enter.
document.querySelector(".dismiss")?.addEventListener("toggle", (event) => {
  if (event.target.open) event.target.querySelector("button")?.focus();
});
