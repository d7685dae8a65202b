/** Where the time of a request went: what the server says of its stages, and what is left. */

import { byId, element, fill } from "../dom.js";
import { milliseconds } from "../format.js";

/** @typedef {{name: string, words: string, ms: number}} Part */

/** In the order in which a request meets them. */
const STAGES = [
  { name: "decode", words: "Decode" },
  { name: "queue", words: "Queue" },
  { name: "infer", words: "Infer" },
];
const REST = { name: "rest", words: "Network, browser" };

/**
 * Read a Server-Timing header (W3C Server Timing).
 *
 * @param {string} header such as "decode;dur=0.1, infer;dur=0.42"
 * @returns {Map<string, number>} milliseconds
 */
export function readTiming(header) {
  const found = header.matchAll(/([\w-]+)\s*;[^,]*?dur=([\d.]+)/g);
  return new Map([...found].map(([, name, duration]) => [name, Number(duration)]));
}

/**
 * Return the parts of a request's time; together they are all of it.
 *
 * @param {string} header
 * @param {number} total milliseconds, as the browser saw it
 * @returns {Part[]}
 */
export function split(header, total) {
  const timing = readTiming(header);
  const stages = STAGES.map((stage) => ({ ...stage, ms: timing.get(stage.name) ?? 0 }));
  const known = stages.reduce((sum, { ms }) => sum + ms, 0);
  return [...stages, { ...REST, ms: Math.max(0, total - known) }];
}

/** Show it. @param {string} header @param {number} total milliseconds */
export function showLatency(header, total) {
  const parts = split(header, total);
  const bar = element("div", { class: "stack", "aria-hidden": "true" });
  for (const { name, ms } of parts) {
    const part = element("span", { "data-part": name });
    part.style.flexGrow = String(ms);
    bar.append(part);
  }
  const words = parts.map(({ name, words, ms }) =>
    element("div", { "data-part": name }, element("dt", {}, words), element("dd", {}, milliseconds(ms))),
  );
  const sum = element("div", {}, element("dt", {}, "Total"), element("dd", {}, milliseconds(total)));
  const figure = byId("latency", HTMLElement);
  fill(figure, element("figcaption", {}, "Time of this request"), bar, element("dl", {}, ...words, sum));
  figure.hidden = false;
}

export function hideLatency() {
  byId("latency", HTMLElement).hidden = true;
}
