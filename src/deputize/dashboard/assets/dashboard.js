// Loads the page again now and then, and puts in the parts that may change (data-live). Without it, a reload does the same.
const EVERY_MS = 5000;
const SOON_MS = 1500;
const pause = document.getElementById("pause");
let paused = false;

const parts = () => [...document.querySelectorAll("[data-live][id]")];

// a part in which somebody is at work stays as it is
const inUse = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;

async function refresh() {
  if (paused || document.hidden || parts().length === 0) return;
  const reply = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
  if (fresh.querySelector("header.top") === null) {
    location.reload(); // the session is over
    return;
  }
  for (const part of parts()) {
    const now = fresh.getElementById(part.id);
    if (now === null) part.remove();
    else if (!inUse(part) && now.outerHTML !== part.outerHTML) part.replaceWith(document.importNode(now, true));
  }
}

async function loop() {
  try {
    await refresh();
  } catch {
    // the server is away for a moment; the next look tells
  }
  if (parts().length) setTimeout(loop, document.querySelector("[data-soon]") ? SOON_MS : EVERY_MS);
}

if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Go on" : "Pause";
  });
}
if (parts().length) setTimeout(loop, document.querySelector("[data-soon]") ? SOON_MS : EVERY_MS);
