/** The facts of a model's version, each a name and what there is to say. */

import { element } from "../dom.js";
import { bytes, counted, percent, shape, short, whole } from "../format.js";

/** @typedef {import("../dom.js").Child} Child */
/** @typedef {import("../models.js").Manifest} Manifest */
/** @typedef {import("../models.js").Selection} Selection */
/** @typedef {[string, Child | Child[]]} Fact */

/** @param {Selection} selection @returns {Fact[]} */
export function serving({ version }) {
  const { manifest, provider, batched } = version;
  return [
    ["State", version.state],
    ["Reason", version.reason],
    ["Runs on", provider],
    ["Batching", batched === null ? null : batched ? "requests share runs" : "each request runs alone"],
    ["Task", manifest?.task],
    ["Output", manifest?.output && `${manifest.output.kind}, in the tensor ${manifest.output.name}`],
    ["Picture", picture(manifest)],
    ["Manifest", manifest ? `format ${manifest.format_version}` : version.inputs && "none: the file says no more than its graph"],
  ];
}

/** @param {Manifest} manifest @returns {Fact[]} */
export function quality({ metrics, reliability, precision, parity }) {
  return [
    ["Accuracy", metrics && `${percent(metrics.accuracy)} of ${counted(metrics.samples, "sample")} of the split ${metrics.split}`],
    ["Probabilities", reliability && `${points(reliability.ece)} of expected calibration error on ${counted(reliability.samples, "sample")} of ${reliability.split}`],
    ["Temperature", reliability && reliability.temperature !== 1 ? `${short(reliability.temperature)}; without it ${points(reliability.ece_before)}` : null],
    ["Precision", precision ? precision.kind : "as trained"],
    ["Before it", precision && share(precision.accuracy_before)],
    ["After it", precision && share(precision.accuracy_after)],
    ["Same class", precision && share(precision.top1_agreement)],
    ["Size", precision && `${bytes(precision.size_before)} → ${bytes(precision.size_after)}`],
    ["Held against", `${parity.reference}, ${counted(parity.samples, "sample")}`],
    ["Largest error", `${error(parity.max_abs_error)} absolute, ${error(parity.max_rel_error)} relative`],
    ["Unfolded", parity.unfolded_max_rel_error === null ? null : `${error(parity.unfolded_max_rel_error)} relative`],
    ["Error ratio", parity.error_ratio ? `${short(parity.error_ratio)} of the unfolded model's` : null],
    ["Top-1 agreement", share(parity.top1_agreement)],
    ["Tolerance", error(parity.tolerance)],
  ];
}

/** @param {Manifest} manifest @returns {Fact[]} */
export function provenance({ name, version, source, created_by: makers }) {
  return [
    ["Built as", `${name}, version ${version}`],
    ["Source", `${source.kind}, ${source.reference}`],
    ["SHA-256", source.sha256 && element("code", {}, source.sha256)],
    ["Made by", Object.entries(makers).map(([maker, release]) => `${maker} ${release}`).join(", ")],
  ];
}

/** Return facts as a list; those with nothing to say are left out. @param {Fact[]} facts @returns {HTMLElement} */
export function factList(facts) {
  const known = facts.filter(([, said]) => said !== null && said !== undefined && said !== "");
  const rows = known.map(([name, said]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, ...(Array.isArray(said) ? said : [said]))),
  );
  return element("dl", { class: "pairs" }, ...rows);
}

/** @param {import("../models.js").Tensor[]} specs @param {string} caption @returns {HTMLElement} */
export function signature(specs, caption) {
  const rows = specs.map((spec) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, spec.name)),
      element("td", {}, spec.datatype),
      element("td", {}, shape(spec.shape) || "scalar"),
    ),
  );
  const heads = ["Name", "Type", "Shape"].map((head) => element("th", { scope: "col" }, head));
  return element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...rows),
  );
}

/** @param {Manifest | null} manifest @returns {string | null} */
function picture(manifest) {
  const input = manifest?.input;
  if (input?.kind !== "image") return null;
  const { width, height, color, layout, resize_filter: filter, crop_fraction: crop } = input;
  const scaled = `${width} × ${height}, ${color === "L" ? "grey" : "RGB"}, ${layout}, scaled by the ${filter} filter`;
  return crop === null ? scaled : `${scaled}, the middle ${percent(crop)} of it`;
}

/** @param {number | null} value @returns {string | null} */
function share(value) {
  return value === null ? null : percent(value);
}

/** @param {number} value a share @returns {string} such as "1.2 points" */
function points(value) {
  return `${(100 * value).toFixed(1)} points`;
}

/** @param {number} value @returns {string} such as "2.1e-6" */
function error(value) {
  return value === 0 ? "0" : value.toExponential(1);
}

/** @param {string[]} labels @returns {HTMLElement} */
export function labelList(labels) {
  const list = element("ol", { class: "labels", start: 0 }, ...labels.map((label) => element("li", {}, label)));
  return element("div", {}, element("p", { class: "soft" }, `${whole(labels.length)}, in the order of the output`), list);
}
