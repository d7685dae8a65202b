/** What an answer says, of either endpoint. */

/** @typedef {import("../models.js").Manifest} Manifest */
/** @typedef {{label: string, index: number, probability: number}} Prediction */
/** @typedef {{name: string, datatype: string, shape: number[], data: any[]}} Output */
/** @typedef {{rows: Prediction[][], outputs: Output[]}} Outcome rows of classes, or else plain tensors */

/**
 * Read an answer.
 *
 * @param {string} text
 * @param {Manifest | null} manifest says whether an output is of classes
 * @returns {Outcome}
 */
export function readOutcome(text, manifest) {
  const document = JSON.parse(text);
  if (document.predictions) return { rows: [document.predictions], outputs: [] };
  /** @type {Output[]} */
  const outputs = document.outputs;
  const kind = manifest?.output?.kind ?? "tensor";
  const classes = outputs.find((each) => each.name === manifest?.output?.name);
  if (!classes || kind === "tensor" || classes.shape.length !== 2) return { rows: [], outputs };
  const [rows, width] = classes.shape;
  const scores = Array.from({ length: rows }, (_, row) => classes.data.slice(row * width, (row + 1) * width));
  return { rows: scores.map((row) => ranked(kind === "logits" ? softmax(row) : row, manifest)), outputs: [] };
}

/** @param {number[]} logits @returns {number[]} */
export function softmax(logits) {
  const highest = Math.max(...logits); // exp of it would overflow
  const powers = logits.map((each) => Math.exp(each - highest));
  const sum = powers.reduce((total, each) => total + each, 0);
  return powers.map((each) => each / sum);
}

/** @param {number[]} probabilities @param {Manifest | null} manifest @returns {Prediction[]} */
function ranked(probabilities, manifest) {
  const all = probabilities.map((probability, index) => ({
    label: manifest?.labels?.[index] ?? String(index),
    index,
    probability,
  }));
  return all.sort((one, other) => other.probability - one.probability);
}
