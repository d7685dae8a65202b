/** What the server tells of its models, as GET /models and GET /models/{name} have it. */

import { read } from "./api.js";

/** @typedef {{name: string, datatype: string, shape: number[]}} Tensor */
/** @typedef {{version: string, state: string, reason: string | null}} Summary */
/** @typedef {{name: string, version: string, state: string, versions: Summary[]}} Model */
/**
 * @typedef {{
 *   name: string, kind: "image", layout: "NCHW" | "NHWC", color: "L" | "RGB", channels: number,
 *   height: number, width: number, value_range: number[], resize_filter: string,
 *   crop_fraction: number | null,
 * }} ImageInput
 */
/** @typedef {{name: string, kind: "tensor", value_range: number[] | null}} TensorInput */
/**
 * The outcome of a batch norm, or of a chain like one. Format 1 of the manifest knows fewer fields.
 *
 * @typedef {{
 *   name: string, kind?: "batch_norm" | "affine", outcome: string, into: string[] | string | null,
 *   through?: string[], reason: string | null, blocked_by?: string[],
 * }} FoldedNode
 */
/**
 * @typedef {{
 *   mode?: string, target?: string, decision?: string, bn_before: number, bn_after: number,
 *   affines_before?: number, affines_after?: number, nodes: FoldedNode[],
 * }} Fold
 */
/**
 * @typedef {{
 *   reference: string, samples: number, seed: number, max_abs_error: number, max_rel_error: number,
 *   unfolded_max_rel_error: number | null, error_ratio?: number | null,
 *   top1_agreement: number | null, tolerance: number,
 * }} Parity
 */
/**
 * @typedef {{
 *   kind: string, top1_agreement: number | null, accuracy_before: number | null,
 *   accuracy_after: number | null, samples: number, split: string | null,
 *   calibration: string | null, size_before: number, size_after: number,
 * }} Precision
 */
/** @typedef {{temperature: number, ece_before: number, ece: number, samples: number, split: string}} Reliability */
/**
 * @typedef {{
 *   format_version: number, name: string, version: number, task: string, labels: string[] | null,
 *   input: ImageInput | TensorInput | null,
 *   output: {name: string, kind: "logits" | "probabilities" | "tensor"} | null,
 *   source: {kind: string, reference: string, sha256: string | null}, fold: Fold, parity: Parity,
 *   precision?: Precision | null, reliability?: Reliability | null, metrics: {accuracy: number, samples: number, split: string} | null,
 *   created_by: Record<string, string>,
 * }} Manifest
 */
/**
 * @typedef {Summary & {
 *   provider: string | null, batched: boolean | null, inputs: Tensor[] | null,
 *   outputs: Tensor[] | null, manifest: Manifest | null,
 * }} Version
 */
/** @typedef {{model: string, version: Version, isDefault: boolean}} Selection */

/** @returns {Promise<Model[]>} */
export async function readModels() {
  return (await read("models")).models;
}

/**
 * Return one version of a model: the one that is named, or the one that answers by default.
 *
 * @param {string} name
 * @param {string | null} version
 * @returns {Promise<Selection>}
 */
export async function readSelection(name, version) {
  const model = await read(`models/${encodeURIComponent(name)}`);
  /** @type {Version[]} */
  const versions = model.versions;
  const found = versions.find((each) => each.version === version);
  const chosen = found ?? versions.find((each) => each.version === model.version) ?? versions[0];
  return { model: model.name, version: chosen, isDefault: chosen.version === model.version };
}

/** Return the path of a model's version, short for the default one. @param {Selection} selection */
export function modelPath({ model, version, isDefault }) {
  const name = encodeURIComponent(model);
  return isDefault ? `models/${name}` : `models/${name}/versions/${version.version}`;
}
