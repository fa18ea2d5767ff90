// Fetches the parts of a page that say what happens now again when the daemon says that something did (server-sent
// events), and every few seconds where it cannot say so. Pauses while the page is hidden.
"use strict";

const TICK_MS = 1000;
const AGES_MS = 15000; // how long something takes is shown too, so a part is fetched again though nothing happened
const AGAIN_MS = 30000;
const EVENTS = ["run-started", "run-finished", "alert", "sink", "now", "delivery", "missed"];
const states = new WeakMap();
let source = null;
let streaming = false;
let refusedAt = -AGAIN_MS;

function stateOf(part) {
  if (!states.has(part)) {
    states.set(part, { at: performance.now(), wanted: false, busy: false, failures: 0 });
  }
  return states.get(part);
}

function say(part, text, stale) {
  const place = document.getElementById(part.dataset.freshness || "");
  if (place) {
    place.textContent = text;
    place.className = stale ? "stale" : "";
  }
}

function put(part, nodes) {
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const whole = nodes.length === 1 && part.id !== "" && nodes[0].id === part.id;
  const now = whole ? nodes[0] : part;
  if (whole) {
    states.set(now, states.get(part));
    part.replaceWith(now);
  } else {
    part.replaceChildren(...nodes);
  }
  if (focused) {
    [...now.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  }
}

async function refresh(part, state) {
  Object.assign(state, { busy: true, wanted: false, at: performance.now() });
  try {
    const answer = await fetch(part.dataset.live, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) {
      throw new Error(`answered ${answer.status}`);
    }
    // The server rendered and escaped this fragment; it comes from the same origin only (connect-src 'self').
    const fragment = new DOMParser().parseFromString(await answer.text(), "text/html");
    put(part, [...fragment.body.children]);
    state.failures = 0;
    say(part, `live, ${new Date().toLocaleTimeString()}`, false);
  } catch (error) {
    state.failures += 1;
    say(part, `no answer (${state.failures}): the figures below are old`, true);
  }
  state.busy = false;
}

function listen() {
  if (source || performance.now() - refusedAt < AGAIN_MS) {
    return;
  }
  source = new EventSource("/api/v1/live");
  source.addEventListener("ready", () => { streaming = true; });
  for (const name of EVENTS) {
    source.addEventListener(name, () => {
      streaming = true;
      for (const part of document.querySelectorAll("[data-live]")) {
        const wanted = name === "missed" || part.dataset.events.split(" ").includes(name);
        stateOf(part).wanted = stateOf(part).wanted || wanted;
      }
    });
  }
  source.addEventListener("error", () => {
    streaming = false;
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      refusedAt = performance.now();
    }
  });
}

function hush() {
  source?.close();
  source = null;
  streaming = false;
}

function tick() {
  const parts = document.querySelectorAll("[data-live]");
  if (document.hidden || parts.length === 0) {
    hush(); // a browser has few connections for one host, and other tabs want them
    return;
  }
  listen();
  for (const part of parts) {
    const state = stateOf(part);
    const patience = streaming ? AGES_MS : Number(part.dataset.poll) * Math.min(1 + state.failures, 10);
    if (!state.busy && (state.wanted || performance.now() - state.at >= patience)) {
      refresh(part, state);
    }
  }
}

document.addEventListener("visibilitychange", () => {
  for (const part of document.querySelectorAll("[data-live]")) {
    stateOf(part).wanted = !document.hidden;
  }
  tick();
});
window.addEventListener("pagehide", hush);
setInterval(tick, TICK_MS);
tick();
