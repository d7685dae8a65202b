/** What the page shows of the metrics: rates, percentiles, batch sizes, by look. */

import { between, quantile, size } from "./histogram.js";
import { total } from "./metrics.js";

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./history.js").Look} Look */
/** @typedef {import("./metrics.js").Labels} Labels */
/**
 * @typedef {{
 *   at: number, answered: number | null, failed: number | null, p50: number | null,
 *   p90: number | null, p99: number | null, waiting: number,
 * }} Reading at: seconds; answered, failed: a second; percentiles: milliseconds
 */

// Of rates and percentiles: long enough for some requests, short enough to see a change.
const WINDOW_S = 6;

const INFERENCE = /\/(?:predict|infer)$|:predict$/;
const FAILED = 400;

/** @param {Labels} labels @returns {boolean} */
export function isInference({ route }) {
  return INFERENCE.test(route ?? "");
}

/** @param {History} history @returns {Reading[]} */
export function readings(history) {
  return history.looks.map((look, index) => reading(look, history.before(index, WINDOW_S)));
}

/** @param {Look} look @param {Look | null} before @returns {Reading} */
function reading({ at, metrics }, before) {
  const waiting = total(metrics, "foldserve_waiting_rows");
  if (before === null) return { at, answered: null, failed: null, p50: null, p90: null, p99: null, waiting };
  const seconds = at - before.at;
  /** @param {string} name @param {(labels: Labels) => boolean} [isMeant] */
  const rate = (name, isMeant) => (total(metrics, name, isMeant) - total(before.metrics, name, isMeant)) / seconds;
  const times = between(before.metrics, metrics, "foldserve_request_seconds", isInference);
  /** @param {number} share */
  const percentile = (share) => {
    const found = quantile(share, times);
    return found === null ? null : found * 1000;
  };
  return {
    at,
    answered: rate("foldserve_requests_total", (labels) => isInference(labels) && Number(labels.status) < FAILED),
    failed: rate("foldserve_requests_total", (labels) => isInference(labels) && Number(labels.status) >= FAILED),
    p50: percentile(0.5),
    p90: percentile(0.9),
    p99: percentile(0.99),
    waiting,
  };
}

/**
 * Return the batch sizes of the runs in the history.
 *
 * @param {History} history
 * @returns {{bounds: number[], counts: number[], mean: number | null}}
 */
export function batchSizes(history) {
  const { last } = history;
  if (last === null) return { bounds: [], counts: [], mean: null };
  const [first] = history.looks;
  const histogram = between(first.metrics, last.metrics, "foldserve_batch_rows", () => true);
  const rows = total(last.metrics, "foldserve_batch_rows_sum") - total(first.metrics, "foldserve_batch_rows_sum");
  const runs = size(histogram);
  return { ...histogram, mean: runs === 0 ? null : rows / runs };
}

/**
 * Return a model's percentiles of a stage in the history, in milliseconds.
 *
 * @param {History} history
 * @param {string} stage such as "queue"
 * @param {{model: string, version: string}} model
 * @returns {{count: number, p50: number | null, p99: number | null}}
 */
export function stage(history, stage, { model, version }) {
  const { last } = history;
  if (last === null) return { count: 0, p50: null, p99: null };
  const [first] = history.looks;
  const isMeant = (/** @type {Labels} */ labels) => labels.model === model && labels.version === version;
  const times = between(first.metrics, last.metrics, `foldserve_${stage}_seconds`, isMeant);
  const [p50, p99] = [0.5, 0.99].map((share) => quantile(share, times));
  return { count: size(times), p50: p50 === null ? null : p50 * 1000, p99: p99 === null ? null : p99 * 1000 };
}
