/** Whether the server is there: asked every few seconds, more often while it is not. */

import { attempt, onProblem } from "./api.js";
import { byId, fill, say } from "./dom.js";
import { Problem } from "./problem.js";

/** @typedef {"unknown" | "ready" | "waiting" | "gone"} Pulse */

const EVERY_MS = 5000;
const WHILE_AWAY_MS = 1000;
// A server that is there answers this in a millisecond.
const PATIENCE_MS = 4000;

const WORDS = { unknown: "connecting", ready: "ready", waiting: "not ready", gone: "no answer" };
const BANNERS = {
  gone: "The server does not answer. Is it still running? This page goes on by itself once it is back.",
  waiting: "The server takes no requests now: it is starting or ending. This page goes on once it is ready.",
};

/** Show the pulse. @param {() => void} onBack called when the server is there again */
export function watchPulse(onBack) {
  /** @type {Pulse} */
  let last = "unknown";
  let timer = 0;

  async function beat() {
    clearTimeout(timer);
    const now = await look();
    if (now !== last) {
      show(now);
      if (now === "ready" && last !== "unknown") onBack();
      last = now;
    }
    clearTimeout(timer); // another beat may have ended meanwhile
    timer = setTimeout(beat, now === "ready" ? EVERY_MS : WHILE_AWAY_MS);
  }

  onProblem((error) => {
    if (last === "ready" && (error.status === 0 || error.status === 503)) beat();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) beat();
    else clearTimeout(timer);
  });
  beat();
}

/** @returns {Promise<Pulse>} */
async function look() {
  try {
    await attempt("v2/health/ready", { signal: AbortSignal.timeout(PATIENCE_MS) });
    return "ready";
  } catch (error) {
    return error instanceof Problem && error.status !== 0 ? "waiting" : "gone";
  }
}

/** @param {Pulse} pulse */
function show(pulse) {
  const mark = byId("pulse", HTMLParagraphElement);
  mark.dataset.state = pulse;
  mark.textContent = WORDS[pulse];
  const banner = byId("gone", HTMLDivElement);
  const words = pulse === "gone" || pulse === "waiting" ? BANNERS[pulse] : "";
  banner.hidden = words === "";
  fill(banner, words);
  if (pulse === "ready") say("The server is ready.");
}
