/** The card of a model: what it is, how good it is, where it comes from, what the fold did. */

import { byId, element, fill } from "../dom.js";
import { factList, labelList, provenance, quality, serving, signature } from "./facts.js";
import { createFoldReport } from "./fold_report.js";

/** @typedef {import("../models.js").Selection} Selection */

/** @returns {{show: (selection: Selection) => void}} */
export function createCard() {
  const showFold = createFoldReport();
  let shown = "";
  return {
    show(selection) {
      const text = JSON.stringify(selection);
      if (text === shown) return; // a filter of the fold report stays as it is
      shown = text;
      const { manifest } = selection.version;
      fill(byId("card", HTMLDivElement), ...parts(selection));
      showFold(manifest?.fold ?? null);
    },
  };
}

/** @param {Selection} selection @returns {HTMLElement[]} */
function parts(selection) {
  const { manifest, inputs, outputs } = selection.version;
  return [
    part("Served", factList(serving(selection))),
    ...(inputs && outputs ? [part("Signature", signature(inputs, "Inputs"), signature(outputs, "Outputs"))] : []),
    ...(manifest ? [part("Quality", factList(quality(manifest)))] : []),
    ...(manifest ? [part("Where it comes from", factList(provenance(manifest)))] : []),
    ...(manifest?.labels ? [part("Labels", labelList(manifest.labels))] : []),
  ];
}

/** @param {string} title @param {...HTMLElement} content @returns {HTMLElement} */
function part(title, ...content) {
  return element("section", { class: "card" }, element("h2", {}, title), ...content);
}
