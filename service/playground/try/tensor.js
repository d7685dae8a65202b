/** Tensors as text, for models of which nothing more is known than their signature. */

import { byId } from "../dom.js";

/** @typedef {import("../models.js").Version} Version */
/** @typedef {import("../models.js").Tensor} Tensor */

// Some 600 kB of text; a browser shows it without a pause, and nobody types more.
const MOST_NUMBERS = 2 ** 18;

const NUMBERS_IN_A_LINE = 16;

/**
 * Let a person write a request.
 *
 * @param {(body: string) => void} onSend
 * @returns {(version: Version) => void} shows an example for a model
 */
export function watchTensor(onSend) {
  const text = byId("tensor", HTMLTextAreaElement);
  /** @type {Version | null} */
  let version = null;
  const show = () => {
    if (version !== null) text.value = example(version);
  };
  byId("send-tensor", HTMLButtonElement).addEventListener("click", () => onSend(text.value));
  byId("example", HTMLButtonElement).addEventListener("click", show);
  return (wanted) => {
    version = wanted;
    show();
  };
}

/**
 * Return a request that a model answers, by its signature: a batch of one, open sizes as 1.
 *
 * @param {Version} version
 * @returns {string} JSON; empty if there are too many numbers to write
 */
export function example({ inputs, outputs }) {
  const sizes = (inputs ?? []).map((spec) => count(closed(spec.shape)));
  if (sizes.reduce((sum, each) => sum + each, 0) > MOST_NUMBERS) return "";
  const tensors = (inputs ?? []).map(tensor).join(",\n");
  const names = (outputs ?? []).map((spec) => `{"name": ${JSON.stringify(spec.name)}}`).join(", ");
  return `{\n  "inputs": [\n${tensors}\n  ],\n  "outputs": [${names}]\n}`;
}

/** @param {Tensor} spec @returns {string} */
function tensor({ name, datatype, shape }) {
  const sizes = closed(shape);
  const values = Array.from({ length: count(sizes) }, (_, index) => JSON.stringify(value(datatype, index)));
  const lines = [];
  for (let at = 0; at < values.length; at += NUMBERS_IN_A_LINE) {
    lines.push(`        ${values.slice(at, at + NUMBERS_IN_A_LINE).join(", ")}`);
  }
  const data = lines.length > 1 ? `[\n${lines.join(",\n")}\n      ]` : `[${(lines[0] ?? "").trim()}]`;
  const fields = [
    `"name": ${JSON.stringify(name)}`,
    `"shape": [${sizes.join(", ")}]`,
    `"datatype": ${JSON.stringify(datatype)}`,
    `"data": ${data}`,
  ];
  return `    {\n      ${fields.join(",\n      ")}\n    }`;
}

/** @param {number[]} shape @returns {number[]} */
function closed(shape) {
  return shape.map((size) => (size >= 0 ? size : 1));
}

/** @param {number[]} sizes @returns {number} */
function count(sizes) {
  return sizes.reduce((product, each) => product * each, 1);
}

/** @param {string} datatype @param {number} index @returns {number | boolean | string} */
function value(datatype, index) {
  if (datatype === "BOOL") return index % 2 === 0;
  if (datatype === "BYTES") return "text";
  // Small, so that no sum of them overflows; halves are exact in every float.
  return datatype.startsWith("FP") ? (index % 4) / 2 : index % 2;
}
