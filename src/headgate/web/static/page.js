// Fetches the figures again every two seconds and says so when it cannot. Pauses while the page is hidden.
"use strict";

const live = document.getElementById("live");
const freshness = document.getElementById("freshness");
const EVERY_MS = 2000;
let failures = 0;

function say(text, stale) {
  freshness.textContent = text;
  freshness.className = stale ? "stale" : "";
}

async function refresh() {
  if (document.hidden) {
    return;
  }
  try {
    const answer = await fetch(live.dataset.source, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) {
      throw new Error(`answered ${answer.status}`);
    }
    // The server rendered and escaped this fragment; it comes from the same origin only (connect-src 'self').
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html");
    live.replaceChildren(...fragment.body.childNodes);
    failures = 0;
    say(`live, ${new Date().toLocaleTimeString()}`, false);
  } catch (error) {
    failures += 1;
    say(`no answer (${failures}): the figures below are old`, true);
  }
}

async function loop() {
  await refresh();
  setTimeout(loop, EVERY_MS * Math.min(1 + failures, 10));
}

document.addEventListener("visibilitychange", refresh);
setTimeout(loop, EVERY_MS);
