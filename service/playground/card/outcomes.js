/** What became of a batch norm, in the words of the export's reports. */

/** @typedef {import("../models.js").FoldedNode} FoldedNode */

/** @type {Record<string, string>} */
export const OUTCOMES = {
  folded_backward: "folded backward",
  folded_forward: "folded forward",
  split: "split between both sides",
  merged: "merged with a branch",
  clamped: "folded with a clamp for a ReLU",
  reduced: "reduced to one operator",
  kept: "kept",
};

/** Of a manifest of another version as it stands. @param {string} outcome @returns {string} */
export function outcomeWords(outcome) {
  return OUTCOMES[outcome] ?? outcome;
}

/** How much of it is left: that decides the mark. @param {string} outcome @returns {"gone" | "reduced" | "kept"} */
export function remains(outcome) {
  return outcome === "kept" || outcome === "reduced" ? outcome : "gone";
}

/** @param {FoldedNode} node @returns {string} */
export function kindWords({ kind }) {
  return kind === "affine" ? "affine" : "batch norm";
}

/** Names of nodes; format 1 has one name or none. @param {string[] | string | null | undefined} names @returns {string[]} */
export function listed(names) {
  if (names === null || names === undefined) return [];
  return typeof names === "string" ? [names] : names;
}

/**
 * Whether a node has a text in what is said of it.
 *
 * @param {FoldedNode} node
 * @param {string} text
 * @returns {boolean}
 */
export function speaksOf(node, text) {
  const said = [node.name, node.reason, outcomeWords(node.outcome), kindWords(node)];
  const names = [...listed(node.into), ...listed(node.through), ...listed(node.blocked_by)];
  return [...said, ...names].join("\n").toLowerCase().includes(text.trim().toLowerCase());
}
