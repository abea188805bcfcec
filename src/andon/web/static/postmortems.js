// What the linter says of a section while it is written, and Ctrl+Enter to save. Without this script the page checks by a button.

const WAIT_MS = 450;

for (const area of document.querySelectorAll("textarea[data-lint]")) {
  const box = area.closest(".section").querySelector(".findings");
  let timer = 0;
  let asked = 0;
  const check = async () => {
    const number = ++asked;
    const form = new URLSearchParams({ csrf: area.form.elements.csrf.value, from: location.pathname, text: area.value });
    const answer = await fetch(area.dataset.lint, { method: "POST", body: form }).catch(() => null);
    if (!answer?.ok || number !== asked) return;
    show(box, (await answer.json()).findings);
  };
  area.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, WAIT_MS);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      area.form.requestSubmit(area.form.querySelector("button.primary"));
    }
  });
  box.addEventListener("click", (event) => {
    const found = event.target.closest(".found");
    if (found) select(area, Number(found.dataset.line), Number(found.dataset.column), Number(found.dataset.end));
  });
}

function show(box, findings) {
  box.replaceChildren(
    ...findings.map((f) => {
      const line = document.createElement("p");
      line.className = "finding";
      const found = document.createElement("button");
      Object.assign(found, { type: "button", className: "found", textContent: f.text });
      Object.assign(found.dataset, { line: f.line, column: f.column, end: f.end });
      const why = document.createElement("span");
      why.textContent = `${f.why}.`;
      const instead = document.createElement("span");
      instead.className = "instead";
      instead.textContent = `${f.rewrite}.`;
      line.append(found, " ", why, " ", instead);
      return line;
    }),
  );
}

// The server counts characters, the browser counts UTF-16 units: they differ where a text has emoji.
function select(area, line, column, end) {
  const lines = area.value.split("\n");
  const before = lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0);
  const units = (n) => [...lines[line - 1]].slice(0, n - 1).join("").length;
  area.focus();
  area.setSelectionRange(before + units(column), before + units(end));
}
