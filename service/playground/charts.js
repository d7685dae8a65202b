/** Small charts: lines over time, bars, a signal. Every value also stands in text beside them. */

import { element, fill, svg } from "./dom.js";
import { short, whole } from "./format.js";
import { ceiling, linePath } from "./scale.js";

/** @typedef {import("./scale.js").Point} Point */
/** @typedef {import("./scale.js").Box} Box */
/** @typedef {{name: string, points: Point[], now: string}} Series now: the last value in words */
/** @typedef {{title: string, unit: string, series: Series[], from: string}} LineChart from: the left end, in words */
/** @typedef {{title: string, words: string, bars: {name: string, value: number}[]}} BarChart */

const HEIGHT = 132;
const NARROWEST = 200; // of a chart whose place is not laid out yet
const MARGIN = { left: 1, right: 2, top: 14, bottom: 18 };

/** @param {HTMLElement} place @param {LineChart} chart */
export function drawLines(place, { title, unit, series, from }) {
  const { width, box } = layout(place);
  const values = series.flatMap(({ points }) => points.map(({ y }) => y ?? 0));
  const high = ceiling(Math.max(0, ...values));
  const lines = series.map(({ points }, index) =>
    svg("path", { class: `line series-${index + 1}`, d: linePath(points, box, { low: 0, high }) }),
  );
  const words = series.map(({ name, now }) => `${name} ${now}`).join(", ");
  const drawing = svg(
    "svg",
    { role: "img", "aria-label": `${title}, now: ${words}`, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
    ...gridLines(box),
    ...lines,
    ...ticks(box, high, unit),
    text(box.left, HEIGHT - 4, from, "start"),
    text(box.left + box.width, HEIGHT - 4, "now", "end"),
  );
  const legend = series.map(({ name, now }, index) => legendEntry(name, now, index));
  fill(place, caption(title, ...legend), drawing);
}

/** @param {HTMLElement} place @param {BarChart} chart */
export function drawBars(place, { title, words, bars }) {
  const { width, box } = layout(place);
  const high = ceiling(Math.max(0, ...bars.map(({ value }) => value)));
  const step = box.width / Math.max(1, bars.length);
  const parts = bars.flatMap(({ name, value }, index) => {
    const height = (value / high) * box.height;
    const [x, y] = [box.left + index * step, box.top + box.height - height];
    const bar = svg("rect", { class: "bar", x: x + step * 0.15, y, width: step * 0.7, height });
    return [bar, text(x + step / 2, HEIGHT - 4, name, "middle")];
  });
  const said = bars.filter(({ value }) => value > 0).map(({ name, value }) => `${name} rows: ${whole(value)}`);
  const drawing = svg(
    "svg",
    { role: "img", "aria-label": `${title}: ${said.join(", ") || "no runs"}`, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
    ...gridLines(box),
    ...parts,
    ...ticks(box, high, "runs"),
  );
  fill(place, caption(title, element("span", { class: "soft" }, words)), drawing);
}

/** Draw a signal, a line for each channel. @param {HTMLElement} place @param {number[][]} channels */
export function plotSignal(place, channels) {
  const { width, box } = layout(place);
  const high = ceiling(Math.max(...channels.flat().map(Math.abs)));
  const lines = channels.map((values, index) => {
    const points = values.map((y, at) => ({ x: at / Math.max(1, values.length - 1), y }));
    return svg("path", { class: `line series-${(index % 3) + 1}`, d: linePath(points, box, { low: -high, high }) });
  });
  const middle = box.top + box.height / 2;
  const label = `The signal, between ${short(-high)} and ${short(high)}`;
  const drawing = svg(
    "svg",
    { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
    svg("path", { class: "grid", d: `M${box.left} ${middle}h${box.width}` }),
    text(box.left, box.top - 3, short(high), "start"),
    text(box.left, box.top + box.height + 12, short(-high), "start"),
    ...lines,
  );
  fill(place, drawing);
}

/** @param {HTMLElement} place */
function layout(place) {
  const width = Math.max(NARROWEST, place.clientWidth);
  const box = {
    left: MARGIN.left,
    top: MARGIN.top,
    width: width - MARGIN.left - MARGIN.right,
    height: HEIGHT - MARGIN.top - MARGIN.bottom,
  };
  return { width, box };
}

/** @param {Box} box */
function gridLines(box) {
  return [0, 0.5, 1].map((share) => svg("path", { class: "grid", d: `M${box.left} ${box.top + share * box.height}h${box.width}` }));
}

/** The values of the lines, above them. @param {Box} box @param {number} high @param {string} unit */
function ticks(box, high, unit) {
  const middle = text(box.left, box.top + box.height / 2 - 3, short(high / 2), "start");
  return [middle, text(box.left, box.top - 3, `${short(high)} ${unit}`, "start")];
}

/** @param {number} x @param {number} y @param {string} words @param {"start" | "middle" | "end"} anchor */
function text(x, y, words, anchor) {
  return svg("text", { x, y, "text-anchor": anchor }, words);
}

/** @param {string} title @param {...HTMLElement} legend */
function caption(title, ...legend) {
  return element("figcaption", {}, element("h2", {}, title), element("p", { class: "legend" }, ...legend));
}

/** @param {string} name @param {string} now @param {number} index */
function legendEntry(name, now, index) {
  const line = svg("path", { class: `line series-${index + 1}`, d: "M0 5h22" });
  const sample = svg("svg", { width: 22, height: 10, viewBox: "0 0 22 10", "aria-hidden": "true" }, line);
  return element("span", { "data-series": name }, sample, ` ${name} `, element("b", {}, now));
}
