/**
 * Reads Prometheus' text format.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */

/** @typedef {{labels: Record<string, string>, value: number}} Sample */
/** @typedef {Map<string, Sample[]>} Metrics samples by their name */
/** @typedef {Record<string, string>} Labels */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = /\\(.)/g;

/**
 * Read an exposition.
 *
 * @param {string} text
 * @returns {Metrics}
 */
export function readMetrics(text) {
  /** @type {Metrics} */
  const metrics = new Map();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (found === null) continue;
    const [, name, labels = "", value] = found;
    const samples = metrics.get(name) ?? [];
    metrics.set(name, samples);
    samples.push({ labels: readLabels(labels), value: readNumber(value) });
  }
  return metrics;
}

/**
 * Return the sum of the samples of a name.
 *
 * @param {Metrics} metrics
 * @param {string} name
 * @param {(labels: Labels) => boolean} [isMeant] which of them
 * @returns {number}
 */
export function total(metrics, name, isMeant = () => true) {
  const samples = (metrics.get(name) ?? []).filter(({ labels }) => isMeant(labels));
  return samples.reduce((sum, { value }) => sum + value, 0);
}

/** @param {string} text @returns {Labels} */
function readLabels(text) {
  const found = text.matchAll(LABEL);
  return Object.fromEntries([...found].map(([, name, value]) => [name, value.replace(ESCAPES, unescaped)]));
}

/** @param {string} _whole @param {string} character @returns {string} */
function unescaped(_whole, character) {
  return character === "n" ? "\n" : character;
}

/** @param {string} text @returns {number} */
function readNumber(text) {
  if (text.endsWith("Inf")) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}
