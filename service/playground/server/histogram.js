/** Histograms as Prometheus counts them: how many values are at most each bound. */

import { total } from "./metrics.js";

/** @typedef {import("./metrics.js").Metrics} Metrics */
/** @typedef {import("./metrics.js").Labels} Labels */
/** @typedef {{bounds: number[], counts: number[]}} Histogram counts add up; the last bound is infinite */

/**
 * Return what a histogram has counted between two looks.
 *
 * @param {Metrics} older
 * @param {Metrics} newer
 * @param {string} name without "_bucket"
 * @param {(labels: Labels) => boolean} isMeant
 * @returns {Histogram}
 */
export function between(older, newer, name, isMeant) {
  const samples = newer.get(`${name}_bucket`) ?? [];
  const bounds = [...new Set(samples.map(({ labels }) => bound(labels)))].sort((one, other) => one - other);
  const counts = bounds.map((each) => {
    const isHere = (/** @type {Labels} */ labels) => bound(labels) === each && isMeant(labels);
    return total(newer, `${name}_bucket`, isHere) - total(older, `${name}_bucket`, isHere);
  });
  return { bounds, counts };
}

/** @param {Histogram} histogram @returns {number} values */
export function size({ counts }) {
  return counts[counts.length - 1] ?? 0;
}

/**
 * Return a quantile, as Prometheus' histogram_quantile does: as if the values between two bounds
 * were spread evenly. Beyond the last bound nothing is known, so it is that bound.
 *
 * @param {number} share from 0 to 1
 * @param {Histogram} histogram
 * @returns {number | null} null if there are no values
 */
export function quantile(share, { bounds, counts }) {
  const all = size({ bounds, counts });
  if (all === 0) return null;
  const rank = share * all;
  const at = counts.findIndex((count) => count >= rank);
  if (bounds[at] === Infinity) return bounds[at - 1] ?? null;
  const low = at === 0 ? 0 : bounds[at - 1];
  const below = at === 0 ? 0 : counts[at - 1];
  const inside = counts[at] - below;
  return inside === 0 ? low : low + ((bounds[at] - low) * (rank - below)) / inside;
}

/** @param {Histogram} histogram @returns {number[]} how many values are in each, and not below */
export function each({ counts }) {
  return counts.map((count, at) => count - (at === 0 ? 0 : counts[at - 1]));
}

/** @param {Labels} labels @returns {number} */
function bound({ le }) {
  return le === "+Inf" ? Infinity : Number(le);
}
