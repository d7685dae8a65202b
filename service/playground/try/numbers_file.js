/** Numbers from a file of a person's: CSV, JSON or .npy. */

import { readNpy } from "./npy.js";

/** @typedef {import("./npy.js").Numbers} Numbers */

/**
 * Read the numbers of a file.
 *
 * @param {File} file
 * @returns {Promise<Numbers>}
 * @throws {Error} it cannot be read; the message says why
 */
export async function readNumbers(file) {
  const name = file.name.toLowerCase();
  if (name.endsWith(".npy")) return readNpy(await file.arrayBuffer());
  const text = await file.text();
  return name.endsWith(".json") ? readJson(text) : readCsv(text);
}

/**
 * Read nested lists of numbers.
 *
 * @param {string} text
 * @returns {Numbers}
 */
export function readJson(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Error("the file is not JSON");
  }
  const shape = [];
  for (let level = document; Array.isArray(level); level = level[0]) shape.push(level.length);
  const values = Array.isArray(document) ? document.flat(Infinity) : [];
  if (values.length === 0 || !values.every((each) => typeof each === "number")) {
    throw new Error("the file does not hold a list of numbers");
  }
  const count = shape.reduce((product, each) => product * each, 1);
  if (count !== values.length) throw new Error("the lists in the file are not all of one length");
  return { values, shape };
}

/**
 * Read lines of numbers between commas, semicolons or blanks; a first line of words is left out.
 *
 * @param {string} text
 * @returns {Numbers} one column is a list, else it is lines × columns
 */
export function readCsv(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const cells = lines.map((line) => line.trim().split(/\s*[,;\t]\s*|\s+/));
  const isHead = cells.length > 1 && cells[0].every((cell) => Number.isNaN(Number(cell)));
  const rows = (isHead ? cells.slice(1) : cells).map((row) => row.map(Number));
  if (rows.length === 0) throw new Error("the file is empty");
  const wrong = rows.findIndex((row) => row.some((value) => !Number.isFinite(value)));
  if (wrong >= 0) throw new Error(`line ${wrong + 1 + Number(isHead)} is not made of numbers`);
  const [{ length }] = rows;
  if (rows.some((row) => row.length !== length)) throw new Error("the lines are not all of one length");
  return { values: rows.flat(), shape: length === 1 ? [rows.length] : [rows.length, length] };
}

/**
 * Return the rows that numbers are for a model of signals: nothing is cut, padded or guessed.
 *
 * @param {Numbers} numbers
 * @param {number} channels
 * @param {number} length -1 if any will do
 * @returns {{shape: [number, number, number], values: number[]}} (N, channels, length)
 * @throws {Error} they are not of such a shape
 */
export function asSignals({ values, shape }, channels, length) {
  const [last = 0] = shape.slice(-1);
  const isFlat = shape.length === 1;
  const wide = length === -1 ? (isFlat ? last / channels : last) : length;
  const rows = values.length / (channels * wide);
  const fits = Number.isInteger(wide) && Number.isInteger(rows) && rows > 0;
  if (!fits || (!isFlat && !isShapeOf(shape, channels, wide))) {
    const wanted = `${channels} × ${length === -1 ? "any length" : length}`;
    throw new Error(`the file holds ${shape.join(" × ")} numbers; a signal has ${wanted}`);
  }
  return { shape: [rows, channels, wide], values };
}

/** @param {number[]} shape @param {number} channels @param {number} length */
function isShapeOf(shape, channels, length) {
  const [last, before] = shape.slice().reverse();
  if (last !== length) return false;
  return shape.length === 3 ? before === channels : shape.length === 2 && (channels === 1 || before % channels === 0);
}
