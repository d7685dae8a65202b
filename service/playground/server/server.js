/** The view of the server's state: figures, charts and tables, from /metrics and /models. */

import { readText } from "../api.js";
import { byId, element, fill } from "../dom.js";
import { counted, fixed, milliseconds, short } from "../format.js";
import { readModels } from "../models.js";
import { problemView } from "../problem.js";
import { drawBars, drawLines } from "../charts.js";
import { each } from "./histogram.js";
import { History, spanOf } from "./history.js";
import { readMetrics } from "./metrics.js";
import { batchSizes, readings } from "./readings.js";
import { modelTable, workerTable } from "./tables.js";

/** @typedef {import("../models.js").Model} Model */
/** @typedef {import("./readings.js").Reading} Reading */

const EVERY_MS = 2000;
const FEWEST_BARS = 5; // so that the chart does not jump with the first larger batch

/** @returns {{setActive: (isActive: boolean) => void, refresh: () => void}} */
export function createServer() {
  const pause = byId("pause", HTMLButtonElement);
  const history = new History();
  /** @type {Model[]} */
  let models = [];
  let isActive = false;
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    if (!isActive || document.hidden || isPaused()) return;
    try {
      models = await readModels();
      history.add(readMetrics(await readText("metrics")), performance.now() / 1000);
      fill(byId("server-words", HTMLParagraphElement), `Read every ${EVERY_MS / 1000} seconds.`);
      draw();
    } catch (error) {
      fill(byId("server-words", HTMLParagraphElement), problemView(error));
    }
    clearTimeout(timer);
    timer = setTimeout(look, EVERY_MS);
  }

  function draw() {
    if (!isActive || history.last === null) return;
    const all = readings(history);
    drawFigures(all[all.length - 1], batchSizes(history).mean);
    drawCharts(all, history);
    fill(byId("tables", HTMLDivElement), modelTable(models, history), workerTable(history));
  }

  function isPaused() {
    return pause.getAttribute("aria-pressed") === "true";
  }

  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!isPaused()));
    look();
  });
  document.addEventListener("visibilitychange", look);
  new ResizeObserver(draw).observe(byId("charts", HTMLDivElement));
  return {
    setActive(wanted) {
      const isNew = wanted && !isActive;
      isActive = wanted;
      if (isNew) look();
      else if (!wanted) clearTimeout(timer);
    },
    refresh: look,
  };
}

/** @param {Reading} now @param {number | null} rows of a run, in the mean */
function drawFigures(now, rows) {
  const figures = [
    ["Answered a second", amount(now.answered)],
    ["Failed a second", amount(now.failed)],
    ["Latency p50", time(now.p50)],
    ["Latency p99", time(now.p99)],
    ["Rows that wait", short(now.waiting)],
    ["Rows of a run", amount(rows)],
  ];
  const parts = figures.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  fill(byId("figures", HTMLElement), ...parts);
}

/** @param {Reading[]} all @param {History} history */
function drawCharts(all, history) {
  const now = all[all.length - 1];
  const span = spanOf(now.at - all[0].at);
  const from = span < 60 ? `${span} seconds ago` : `${counted(span / 60, "minute")} ago`;
  /** @param {string} name @param {"answered" | "failed" | "p50" | "p90" | "p99" | "waiting"} key @param {string} words */
  const series = (name, key, words) => ({ name, now: words, points: all.map((one) => ({ x: Math.max(0, 1 - (now.at - one.at) / span), y: one[key] })) });
  drawLines(place("throughput"), {
    title: "Throughput",
    unit: "a second",
    from,
    series: [series("answered", "answered", amount(now.answered)), series("failed", "failed", amount(now.failed))],
  });
  drawLines(place("latency"), {
    title: "Latency",
    unit: "ms",
    from,
    series: [series("p50", "p50", time(now.p50)), series("p90", "p90", time(now.p90)), series("p99", "p99", time(now.p99))],
  });
  drawLines(place("queue"), { title: "Queue", unit: "rows", from, series: [series("waiting", "waiting", short(now.waiting))] });
  const batches = batchSizes(history);
  const sizes = each(batches).map((value, at) => ({ name: sizeName(batches.bounds, at), value }));
  const used = sizes.findLastIndex(({ value }) => value > 0) + 1;
  const bars = sizes.slice(0, Math.max(FEWEST_BARS, used));
  const words = batches.mean === null ? "no runs" : `${fixed(batches.mean)} rows in the mean`;
  drawBars(place("batches"), { title: "Rows of a run", words, bars });
}

/** Return the place of a chart. @param {string} name @returns {HTMLElement} */
function place(name) {
  const charts = byId("charts", HTMLDivElement);
  const found = charts.querySelector(`[data-chart="${name}"]`);
  if (found instanceof HTMLElement) return found;
  const made = element("figure", { class: "card", "data-chart": name });
  charts.append(made);
  return made;
}

/** Such as "1", "3–4", "> 256". @param {number[]} bounds @param {number} at @returns {string} */
function sizeName(bounds, at) {
  const low = at === 0 ? 1 : bounds[at - 1] + 1;
  if (bounds[at] === Infinity) return `> ${low - 1}`;
  return low === bounds[at] ? String(low) : `${low}–${bounds[at]}`;
}

/** @param {number | null} value @returns {string} */
function amount(value) {
  return value === null ? "–" : fixed(value);
}

/** @param {number | null} value milliseconds @returns {string} */
function time(value) {
  return value === null ? "–" : milliseconds(value);
}
