/** The tables of the server's state: models with their versions, and workers. */

import { cell } from "../cell.js";
import { element } from "../dom.js";
import { bytes, fixed, whole } from "../format.js";
import { stateMark } from "../picker.js";
import { writeRoute } from "../route.js";
import { stage } from "./readings.js";
import { total } from "./metrics.js";

/** @typedef {import("../dom.js").Child} Child */
/** @typedef {import("../models.js").Model} Model */
/** @typedef {import("./history.js").History} History */
/** @typedef {import("./metrics.js").Labels} Labels */

const NONE = "–";

/**
 * Return the table of the models.
 *
 * @param {Model[]} models
 * @param {History} history
 * @returns {HTMLElement}
 */
export function modelTable(models, history) {
  const heads = ["Version", "State", "Requests", "Decode", "Queue", "Infer"];
  const rows = models.flatMap(({ name, versions }) =>
    versions.map((each) => {
      const route = writeRoute({ view: "model", model: name, version: each.version });
      const link = element("a", { href: route }, `${name} ${each.version}`);
      const stages = ["decode", "queue", "infer"].map((one) => stage(history, one, { model: name, version: each.version }));
      const state = element("div", {}, stateMark(each.state), each.reason && element("p", {}, each.reason));
      return [link, state, whole(stages[1].count), ...stages.map(percentiles)];
    }),
  );
  return table("Models", "Requests that were answered, and the p50 and p99 of their stages in milliseconds, of the time that the charts show.", heads, rows);
}

/**
 * Return the table of the workers.
 *
 * @param {History} history
 * @returns {HTMLElement | null}
 */
export function workerTable(history) {
  const { last } = history;
  if (last === null) return null;
  const [first] = history.looks;
  const seconds = last.at - first.at;
  const workers = (last.metrics.get("foldserve_worker_ready") ?? []).map(({ labels }) => labels.worker);
  const rows = workers.map((worker) => {
    const isMeant = (/** @type {Labels} */ labels) => labels.worker === worker;
    /** @param {string} name */
    const now = (name) => total(last.metrics, name, isMeant);
    /** @param {string} name */
    const rate = (name) => (seconds > 0 ? (now(name) - total(first.metrics, name, isMeant)) / seconds : null);
    const busy = rate("process_cpu_seconds_total");
    const requests = rate("foldserve_worker_requests_total");
    return [
      worker,
      stateMark(now("foldserve_worker_ready") === 1 ? "ready" : "unavailable"),
      requests === null ? NONE : fixed(requests),
      busy === null ? NONE : `${fixed(busy * 100)} %`,
      bytes(now("process_resident_memory_bytes")),
    ];
  });
  return table("Workers", "Requests of every kind, those of this page among them.", ["Worker", "State", "Requests a second", "Processor", "Memory"], rows);
}

/** @param {{p50: number | null, p99: number | null}} stage @returns {string} */
function percentiles({ p50, p99 }) {
  return p50 === null || p99 === null ? NONE : `${fixed(p50)} · ${fixed(p99)}`;
}

/** @param {string} title @param {string} words @param {string[]} heads @param {Child[][]} rows */
function table(title, words, heads, rows) {
  const head = element("tr", {}, ...heads.map((each) => element("th", { scope: "col" }, each)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((each, at) => cell(heads[at + 1], each))),
  );
  return element(
    "section",
    { class: "card" },
    element("h2", {}, title),
    element("p", { class: "soft" }, words),
    element("table", { class: "stacked" }, element("thead", {}, head), element("tbody", {}, ...body)),
  );
}
