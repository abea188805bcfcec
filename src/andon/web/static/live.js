// Bring an open page up to date: when the server tells that there is something new, the page is asked for again and its
// parts (`data-part`) that differ are exchanged. One tab of a browser listens for all of them: connections are few.

const CHANNEL = "andon-live";
let waiting = false;
let stale = false;

export function keepFresh(say) {
  const { live: source, heard } = document.body.dataset; // what had been told when this page was made
  if (!source) return;
  const channel = new BroadcastChannel(CHANNEL);
  let last = null; // what was told last, where this is the tab that listens
  channel.onmessage = ({ data }) => {
    if (data.made) {
      if (last !== null && last !== data.made) channel.postMessage({ told: last });
    } else freshen(say);
  };
  const listen = () =>
    new Promise(() => {
      last = heard;
      const events = new EventSource(`${source}?heard=${encodeURIComponent(heard)}`);
      let first = true;
      events.onopen = () => {
        if (!first) news(); // what was told meanwhile was missed
        first = false;
      };
      events.onmessage = (event) => {
        last = event.lastEventId || last;
        news();
      };
    });
  const news = () => {
    channel.postMessage({ told: last });
    freshen(say);
  };
  channel.postMessage({ made: heard }); // it may have been told something since, before this tab could hear it
  navigator.locks ? navigator.locks.request(CHANNEL, listen) : listen();
  document.addEventListener("visibilitychange", () => stale && freshen(say));
}

async function freshen(say) {
  if (document.hidden) {
    stale = true;
    return;
  }
  if (waiting) {
    stale = true;
    return;
  }
  waiting = true;
  stale = false;
  try {
    const answer = await fetch(location.href, { headers: { "x-andon-live": "1" } });
    if (answer.status === 401) location.reload();
    else if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"), say);
  } finally {
    setTimeout(() => {
      waiting = false;
      if (stale) freshen(say);
    }, 700);
  }
}

function exchange(fresh, say) {
  let changes = 0;
  for (const old of document.querySelectorAll("[data-part]")) {
    const part = old.dataset.part;
    const now = fresh.querySelector(`[data-part="${CSS.escape(part)}"]`);
    old.classList.remove("fresh"); // a mark of ours, which the server's part does not have
    if (!old.classList.length) old.removeAttribute("class");
    if (!now || now.isEqualNode(old)) continue;
    if (old.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) continue;
    if (old.querySelector("details[open] form, form .wrong")) continue; // somebody is at it
    const focus = old.contains(document.activeElement) ? place(old) : null;
    old.replaceWith(document.importNode(now, true));
    const put = document.querySelector(`[data-part="${CSS.escape(part)}"]`);
    if (focus !== null) put.querySelectorAll("a, button, [tabindex]")[focus]?.focus();
    if (part !== "clock") {
      put.classList.add("fresh");
      changes += 1;
    }
  }
  const icon = fresh.getElementById("favicon");
  if (icon) document.getElementById("favicon").href = icon.getAttribute("href");
  if (fresh.title !== document.title) document.title = fresh.title;
  // One part may have come as another went: it is their names that count, not how many there are.
  if (parts(fresh) !== parts(document) && !atIt()) {
    document.getElementById("main").replaceWith(document.importNode(fresh.getElementById("main"), true));
    changes += 1;
  }
  if (changes) say("This page was brought up to date");
}

function parts(page) {
  return [...page.querySelectorAll("[data-part]")].map((e) => e.dataset.part).sort().join("\n");
}

// Whether somebody types, or has typed something that is not sent yet.
function atIt() {
  if (document.querySelector("form .wrong, details[open] form")) return true;
  const fields = [...document.querySelectorAll("main form[method=post] :is(input:not([type=hidden]), textarea)")];
  return fields.some((f) => f === document.activeElement || f.value !== f.defaultValue || f.checked !== f.defaultChecked);
}

function place(part) {
  return [...part.querySelectorAll("a, button, [tabindex]")].indexOf(document.activeElement);
}
