/** An answer as a person sees it: classes as bars, or tensors as numbers. */

import { byId, element, fill, say } from "../dom.js";
import { percent, shape, short } from "../format.js";

/** @typedef {import("./outcome.js").Outcome} Outcome */
/** @typedef {import("./outcome.js").Output} Output */
/** @typedef {import("./outcome.js").Prediction} Prediction */

const MOST_VALUES = 200; // of a tensor that are shown

/**
 * Show an answer.
 *
 * @param {Outcome} outcome
 * @param {number} top so many classes
 */
export function showOutcome({ rows, outputs }, top) {
  const place = byId("answer-body", HTMLDivElement);
  if (rows.length === 0) {
    fill(place, ...outputs.map(tensor));
    say("The answer is there.");
    return;
  }
  const bars = element("ol", { class: "bars" });
  const showRow = (/** @type {number} */ row) => {
    fill(bars, ...rows[row].slice(0, top).map(bar));
    const [{ label, probability }] = rows[row];
    say(`${label}, ${percent(probability)}`);
  };
  fill(place, rows.length > 1 && rowChoice(rows.length, showRow), bars);
  showRow(0);
}

/** @param {Prediction} prediction @returns {HTMLElement} */
function bar({ label, probability }) {
  const filled = element("span", { class: "filled" });
  filled.style.inlineSize = `${100 * probability}%`;
  return element(
    "li",
    {},
    element("span", { class: "label" }, label),
    element("span", { class: "track", "aria-hidden": "true" }, filled),
    element("span", { class: "value" }, percent(probability)),
  );
}

/** @param {number} rows @param {(row: number) => void} onChoice @returns {HTMLElement} */
function rowChoice(rows, onChoice) {
  const options = Array.from({ length: rows }, (_, row) => element("option", { value: row }, `${row + 1} of ${rows}`));
  const select = element("select", {}, ...options);
  select.addEventListener("change", () => onChoice(Number(select.value)));
  return element("label", { class: "setting" }, "Row ", select);
}

/** @param {Output} output @returns {HTMLElement} */
function tensor({ name, datatype, shape: sizes, data }) {
  const shown = data.slice(0, MOST_VALUES).map((value) => (typeof value === "number" ? short(value) : String(value)));
  const rest = data.length - shown.length;
  return element(
    "section",
    { class: "tensor" },
    element("h3", {}, name),
    element("p", { class: "soft" }, `${datatype} ${shape(sizes) || "scalar"}`),
    element("p", { class: "numbers" }, shown.join("  ") + (rest > 0 ? `  … ${rest} more` : "")),
  );
}
