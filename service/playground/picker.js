/** The choice of a model and a version, and what it is in one line. */

import { byId, element, fill } from "./dom.js";
import { percent, shape, whole } from "./format.js";

/** @typedef {import("./models.js").Model} Model */
/** @typedef {import("./models.js").Selection} Selection */
/** @typedef {import("./models.js").Version} Version */

/**
 * Let a person choose.
 *
 * @param {(model: string, version: string | null) => void} onChoice
 * @returns {(models: Model[], selection: Selection) => void} shows what there is
 */
export function createPicker(onChoice) {
  const model = byId("model", HTMLSelectElement);
  const version = byId("version", HTMLSelectElement);
  byId("picker", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
  model.addEventListener("change", () => onChoice(model.value, null));
  version.addEventListener("change", () => onChoice(model.value, version.value));
  return (models, selection) => {
    const chosen = models.find((each) => each.name === selection.model);
    fill(model, ...models.map((each) => element("option", { value: each.name }, each.name)));
    fill(version, ...(chosen?.versions ?? []).map((each) => versionOption(each.version, chosen)));
    model.value = selection.model;
    version.value = selection.version.version;
    fill(byId("state", HTMLParagraphElement), stateMark(selection.version.state));
    fill(byId("summary", HTMLParagraphElement), summary(selection.version));
  };
}

/** @param {string} state @returns {HTMLElement} */
export function stateMark(state) {
  return element("span", { class: "mark", "data-state": state }, state);
}

/**
 * Return what a version takes and gives, in a line.
 *
 * @param {Version} version
 * @returns {string}
 */
export function summary(version) {
  const { manifest, inputs, outputs } = version;
  if (inputs === null || outputs === null) return version.reason ?? "";
  const input = manifest?.input?.kind === "image" ? picture(manifest.input) : tensors(inputs);
  const output = manifest?.labels ? `${whole(manifest.labels.length)} classes` : tensors(outputs);
  const metrics = manifest?.metrics;
  const accuracy = metrics ? ` · ${percent(metrics.accuracy)} of ${whole(metrics.samples)} held out` : "";
  return `${input} → ${output}${accuracy}`;
}

/** @param {import("./models.js").ImageInput} input @returns {string} */
function picture({ width, height, color }) {
  return `${color === "L" ? "grey" : "colour"} picture, ${width} × ${height}`;
}

/** @param {import("./models.js").Tensor[]} specs @returns {string} */
function tensors(specs) {
  return specs.map((spec) => `${spec.datatype} ${shape(spec.shape) || "scalar"}`).join(", ");
}

/** @param {string} version @param {Model | undefined} model @returns {HTMLOptionElement} */
function versionOption(version, model) {
  const words = version === model?.version ? `${version} (default)` : version;
  return element("option", { value: version }, words);
}
