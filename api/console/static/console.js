/* Keeps the page of a running job current: server-sent events announce a change, and the changed parts are loaded from
   the page itself, so that all words stay in its templates. A page without events is loaded at intervals instead.
   Without this script, the page has a link that updates it. */
"use strict";

const MIN_REFRESH_MS = 1000;
const MIN_ANNOUNCEMENT_MS = 20000;
const POLLING_INTERVAL_MS = 3000;

const announcer = document.querySelector("[data-announcer]");
let announcedAt = -Infinity;
let announcedStage = "";
let announcementTimer = 0;
let refreshTimer = 0;
let refreshedAt = -Infinity;

function announce() {
  const state = document.querySelector("[data-live='state']");
  if (state.dataset.stage === announcedStage) return;
  announcedStage = state.dataset.stage;
  announcedAt = performance.now();
  announcer.textContent = state.dataset.sentence;
}

/* Speaks on a change of stage, at most every 20 seconds, and at the end at once. */
function scheduleAnnouncement(isFinished) {
  clearTimeout(announcementTimer);
  const wait = isFinished ? 0 : Math.max(0, announcedAt + MIN_ANNOUNCEMENT_MS - performance.now());
  announcementTimer = setTimeout(announce, wait);
}

/* Replaces the parts that have changed, except one that has the focus, which never moves by itself. */
function replaceParts(page) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const fresh = page.querySelector(`[data-live='${part.dataset.live}']`);
    if (!fresh || fresh.outerHTML === part.outerHTML) continue;
    if (part.contains(document.activeElement)) {
      part.addEventListener("focusout", scheduleRefresh, { once: true });
      continue;
    }
    part.replaceWith(document.adoptNode(fresh));
  }
}

async function refresh() {
  refreshTimer = 0;
  refreshedAt = performance.now();
  const response = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const state = page.querySelector("[data-live='state']");
  if (!state) return;
  const isFinished = !("events" in state.dataset || "poll" in state.dataset);
  document.title = page.title;
  replaceParts(page);
  if (isFinished) stopWatching();
  scheduleAnnouncement(isFinished);
}

function scheduleRefresh() {
  if (refreshTimer) return;
  const wait = Math.max(0, refreshedAt + MIN_REFRESH_MS - performance.now());
  refreshTimer = setTimeout(() => refresh().catch(() => undefined), wait);
}

/* Starts to watch for changes, and returns the function that ends it. */
function watch() {
  const source = document.querySelector("[data-events]");
  if (!source) {
    const timer = setInterval(scheduleRefresh, POLLING_INTERVAL_MS);
    return () => clearInterval(timer);
  }
  const events = new EventSource(source.dataset.events);
  events.addEventListener("status", scheduleRefresh);
  events.addEventListener("progress", scheduleRefresh);
  return () => events.close();
}

const stopWatching = watch();
