/** Numbers as people read them. */

// Between a number and its unit a line does not end.
const SPACE = "\u00a0";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} ms @returns {string} such as "0.42 ms", "12.3 ms", "1.25 s" */
export function milliseconds(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)}${SPACE}s`;
  return `${ms.toFixed(ms < 10 ? 2 : 1)}${SPACE}ms`;
}

/** @param {number} share from 0 to 1 @returns {string} such as "93.2 %", "< 0.1 %" */
export function percent(share) {
  const shown = share * 100;
  if (shown > 0 && shown < 0.1) return `<${SPACE}0.1${SPACE}%`;
  if (shown < 100 && shown > 99.9) return `>${SPACE}99.9${SPACE}%`;
  return `${shown.toFixed(1)}${SPACE}%`;
}

/** @param {number} value @returns {string} such as "12,345" */
export function whole(value) {
  return WHOLE.format(value);
}

/** @param {number} value @returns {string} three digits that count: "0.42", "17.3", "1,240" */
export function short(value) {
  if (value === 0) return "0";
  if (Math.abs(value) >= 100) return whole(value);
  if (Math.abs(value) < 0.01) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

/** @param {number} value @returns {string} as a table has it: "17.30", "1,240" */
export function fixed(value) {
  return Math.abs(value) >= 100 ? whole(value) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** @param {number} bytes @returns {string} such as "97.4 MB" */
export function bytes(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${short(bytes / 1000 ** power)}${SPACE}${units[power]}`;
}

/** @param {number[]} sizes -1 is open @returns {string} such as "N × 3 × 224 × 224" */
export function shape(sizes) {
  return sizes.map((size, axis) => (size >= 0 ? size : axis === 0 ? "N" : "?")).join(" × ");
}

/** @param {number} count @param {string} one @param {string} [many] @returns {string} */
export function counted(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
