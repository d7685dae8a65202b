/** What a model takes: that decides how a person gives it something. */

import { counted, shape } from "../format.js";

/** @typedef {import("../models.js").Version} Version */
/** @typedef {import("../models.js").Tensor} Tensor */
/** @typedef {"picture" | "signal" | "tensor" | "none"} Kind */

const FLOATS = ["FP16", "FP32", "FP64"];

// A canvas has enough of what a person draws for a network that looks at so many points.
const DRAWABLE_POINTS = 64 * 64;

/** @param {Version} version @returns {Kind} */
export function kindOf(version) {
  if (version.inputs === null) return "none";
  if (takesPictures(version)) return "picture";
  return signalSpec(version) === null ? "tensor" : "signal";
}

/** Whether a person can draw what the model looks at. @param {Version} version */
export function isDrawable({ manifest }) {
  const input = manifest?.input;
  if (input?.kind !== "image" || input.color !== "L") return false;
  return input.height * input.width <= DRAWABLE_POINTS;
}

/**
 * Return the one input of a model of signals, of shape (N, channels, length); null for another one.
 *
 * @param {Version} version
 * @returns {Tensor | null}
 */
export function signalSpec({ inputs, manifest }) {
  if (inputs?.length !== 1 || manifest?.input?.kind === "image") return null;
  const [spec] = inputs;
  const [rows, channels] = spec.shape;
  const fits = spec.shape.length === 3 && (rows === -1 || rows === 1) && channels > 0;
  return fits && FLOATS.includes(spec.datatype) ? spec : null;
}

/** @param {Version} version */
function takesPictures({ manifest }) {
  return manifest?.input?.kind === "image" && manifest.output !== null && manifest.output.kind !== "tensor";
}

/** Say what a model takes. @param {Version} version @returns {string} */
export function inputWords(version) {
  const { inputs, manifest, reason } = version;
  const kind = kindOf(version);
  if (kind === "none") return `This version cannot answer now: ${reason ?? "it is being loaded"}.`;
  if (kind === "picture" && manifest?.input?.kind === "image") {
    const { width, height, color } = manifest.input;
    return `The model looks at ${width} × ${height} points${color === "L" ? ", grey" : ""}.`;
  }
  if (kind === "signal" && inputs !== null) {
    const [, channels, length] = inputs[0].shape;
    const values = length === -1 ? "values, as many as there are" : counted(length, "value");
    return `The model takes ${counted(channels, "channel")} of ${values}.`;
  }
  const specs = (inputs ?? []).map((spec) => `${spec.name}: ${spec.datatype} ${shape(spec.shape)}`);
  return `The model takes ${specs.join(", ")}.`;
}
