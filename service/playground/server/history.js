/** The last minutes of the metrics, look by look. */

import { total } from "./metrics.js";

/** @typedef {import("./metrics.js").Metrics} Metrics */
/** @typedef {{at: number, metrics: Metrics}} Look at: seconds */

const SPAN_S = 180;

// A chart grows with what is known, so that it is not empty for minutes.
const SPANS_S = [30, 60, 120, SPAN_S];

/** Return how much time a chart shows. @param {number} known seconds @returns {number} seconds */
export function spanOf(known) {
  return SPANS_S.find((span) => span >= known) ?? SPAN_S;
}

/** Looks, oldest first; what is older than the span is forgotten. */
export class History {
  constructor() {
    /** @type {Look[]} */
    this.looks = [];
  }

  /** @param {Metrics} metrics @param {number} at seconds, which only go up */
  add(metrics, at) {
    const last = this.looks[this.looks.length - 1];
    if (last && requests(metrics) < requests(last.metrics)) this.looks = []; // another server
    this.looks.push({ at, metrics });
    // One more than the span: the oldest is what the next is compared with.
    while (this.looks.length > 1 && this.looks[1].at < at - SPAN_S) this.looks.shift();
  }

  /** The last look. @returns {Look | null} */
  get last() {
    return this.looks[this.looks.length - 1] ?? null;
  }

  /**
   * Return the look with which one is compared: some seconds before it, or the oldest there is.
   *
   * @param {number} index of a look
   * @param {number} seconds
   * @returns {Look | null} null for the first
   */
  before(index, seconds) {
    const { at } = this.looks[index];
    const found = this.looks.slice(0, index).find((look) => look.at >= at - seconds - SLACK_S);
    return found ?? this.looks[index - 1] ?? null;
  }
}

const SLACK_S = 0.5; // a timer is late at times

/** @param {Metrics} metrics */
function requests(metrics) {
  return total(metrics, "foldserve_requests_total");
}
