/** Sends what a person gave, and shows what came back. */

import { ask } from "../api.js";
import { byId, element, fill, say } from "../dom.js";
import { message, problemView } from "../problem.js";
import { watchCalls } from "./calls.js";
import { hideLatency, showLatency } from "./latency.js";
import { readOutcome } from "./outcome.js";
import { showOutcome } from "./predictions.js";

/** @typedef {import("../models.js").Manifest} Manifest */
/** @typedef {import("./snippets.js").Sent} Sent */
/**
 * @typedef {{
 *   send: (sent: Sent, isOwn?: boolean) => Promise<void>, refuse: (error: unknown) => void,
 *   reset: (manifest: Manifest | null) => void,
 * }} Sender
 *     send: isOwn says that the body is a file of the person's;
 *     refuse: shows why something is not sent; reset: forgets, for another model
 */

// The rows of an answer that hold classes are cut by the page; the number is the server's for pictures.
const MOST_CLASSES = 10;

/** @returns {Sender} */
export function createSender() {
  const showCall = watchCalls();
  const again = byId("again", HTMLButtonElement);
  /** @type {Manifest | null} */
  let manifest = null;
  /** @type {{sent: Sent, isOwn: boolean} | null} */
  let last = null;
  let waiting = new AbortController();

  /** @param {Sent} sent @param {boolean} isOwn */
  async function send(sent, isOwn = false) {
    last = { sent, isOwn };
    waiting.abort(); // who draws on wants no answer to half a digit
    waiting = new AbortController();
    const { signal } = waiting;
    showCall(sent, isOwn);
    again.hidden = false;
    try {
      const headers = sent.type === null ? undefined : { "Content-Type": sent.type };
      const answer = await ask(sent.path, { method: "POST", body: sent.body, headers, signal });
      if (signal.aborted) return;
      showOutcome(readOutcome(answer.text, manifest), sent.type === null ? Infinity : MOST_CLASSES);
      showLatency(answer.timing, answer.milliseconds);
    } catch (error) {
      if (!signal.aborted) refuse(error);
    }
  }

  again.addEventListener("click", () => last !== null && send(last.sent, last.isOwn));
  return {
    send,
    refuse,
    reset(wanted) {
      manifest = wanted;
      last = null;
      waiting.abort();
      again.hidden = true;
      hideLatency();
      showCall(null, false);
      fill(byId("answer-body", HTMLDivElement), element("p", { class: "soft" }, "Nothing was sent yet."));
    },
  };
}

/** @param {unknown} error */
function refuse(error) {
  hideLatency();
  fill(byId("answer-body", HTMLDivElement), problemView(error));
  say(`It was not answered: ${message(error)}`);
}
