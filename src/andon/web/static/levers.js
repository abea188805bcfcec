// Who types another value means it: its choice is taken with it.
document.addEventListener("input", (event) => {
  const box = event.target.closest("[data-picks]");
  if (box) document.getElementById(box.dataset.picks).checked = true;
});
// A time that is filled in is meant, too.
for (const until of document.querySelectorAll("input[name=until]")) {
  until.addEventListener("input", () => {
    if (until.value) until.form.elements.for.value = "until";
  });
}
