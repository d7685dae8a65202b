/** The fold report: every batch norm with its outcome, by outcome and by text. */

import { byId, element, fill } from "../dom.js";
import { cell } from "../cell.js";
import { counted, whole } from "../format.js";
import { OUTCOMES, kindWords, listed, outcomeWords, remains, speaksOf } from "./outcomes.js";

/** @typedef {import("../models.js").Fold} Fold */
/** @typedef {import("../models.js").FoldedNode} FoldedNode */

/** @returns {(fold: Fold | null) => void} shows the report of a model */
export function createFoldReport() {
  const outcomes = byId("fold-outcomes", HTMLFieldSetElement);
  const text = byId("fold-text", HTMLInputElement);
  const form = byId("fold-filter", HTMLFormElement);
  /** @type {FoldedNode[]} */
  let nodes = [];

  function show() {
    const boxes = [...outcomes.querySelectorAll("input")];
    const wanted = boxes.filter((box) => box.checked).map((box) => box.value);
    const found = nodes.filter((node) => wanted.includes(node.outcome) && speaksOf(node, text.value));
    byId("fold-shown", HTMLParagraphElement).textContent = `${whole(found.length)} of ${whole(nodes.length)} shown`;
    fill(byId("fold-table", HTMLDivElement), table(found));
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", show);
  return (fold) => {
    byId("fold", HTMLDivElement).hidden = fold === null;
    if (fold === null) return;
    nodes = fold.nodes;
    text.value = "";
    fill(outcomes, element("legend", { class: "unseen" }, "Outcomes"), ...choices(nodes));
    fill(byId("fold-sum", HTMLParagraphElement), sum(fold));
    fill(byId("fold-decision", HTMLParagraphElement), decision(fold));
    form.hidden = nodes.length === 0;
    show();
  };
}

/** @param {Fold} fold @returns {string} */
function sum({ bn_before: before, bn_after: after }) {
  if (before === 0) return "The model has no batch norm.";
  const gone = before - after;
  return `${whole(gone)} of ${counted(before, "batch norm")} ${before === 1 ? "is" : "are"} gone.`;
}

/** @param {Fold} fold @returns {string} empty in format 1 */
function decision({ mode, target, decision: why }) {
  return why === undefined ? "" : `Fold ${mode} for ${target}: ${why}.`;
}

/** @param {FoldedNode[]} nodes @returns {HTMLElement[]} a box for each outcome that there is */
function choices(nodes) {
  const there = nodes.map((node) => node.outcome);
  const known = Object.keys(OUTCOMES);
  const kinds = [...known, ...there.filter((each) => !known.includes(each))];
  return [...new Set(kinds)].filter((each) => there.includes(each)).map((each) => {
    const count = there.filter((one) => one === each).length;
    const box = element("input", { type: "checkbox", value: each, checked: true });
    return element("label", {}, box, ` ${outcomeWords(each)} `, element("span", { class: "soft" }, whole(count)));
  });
}

/** @param {FoldedNode[]} nodes @returns {HTMLTableElement} */
function table(nodes) {
  const heads = ["Name", "Outcome", "Where it went", "Why not more of it"];
  return element(
    "table",
    { class: "stacked" },
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...nodes.map((node) => row(node, heads))),
  );
}

/** @param {FoldedNode} node @param {string[]} heads @returns {HTMLTableRowElement} */
function row(node, heads) {
  const mark = element("span", { class: "mark", "data-remains": remains(node.outcome) }, outcomeWords(node.outcome));
  const through = listed(node.through);
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("code", {}, node.name), " ", element("span", { class: "soft" }, kindWords(node))),
    cell(heads[1], mark),
    cell(heads[2], names(listed(node.into)), through.length > 0 && element("p", { class: "soft" }, "through ", names(through))),
    cell(heads[3], node.reason, blockers(node)),
  );
}

/** @param {FoldedNode} node @returns {HTMLElement | null} the nodes that the reason does not name */
function blockers({ blocked_by: blocked, reason }) {
  const unnamed = listed(blocked).filter((name) => !(reason ?? "").includes(`'${name}'`));
  return unnamed.length === 0 ? null : element("p", { class: "soft" }, "forbidden by ", names(unnamed));
}

/** @param {string[]} all @returns {HTMLElement | null} */
function names(all) {
  if (all.length === 0) return null;
  return element("span", {}, ...all.flatMap((name, at) => [at > 0 && ", ", element("code", {}, name)]));
}
