/** Where a value stands in a picture. */

/** @typedef {{x: number, y: number | null}} Point x: from 0 to 1; y: in the value's own unit, null for a gap */

/** @typedef {{left: number, top: number, width: number, height: number}} Box in pixels */

/** Return the smallest of 1, 2 and 5 times a power of ten that a value does not exceed. @param {number} value @returns {number} */
export function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((each) => each * power >= value * (1 - 1e-9)) ?? 10;
  return step * power;
}

/**
 * Return the path of a line through points.
 *
 * @param {Point[]} points
 * @param {Box} box
 * @param {{low: number, high: number}} range of the values
 * @returns {string} with a gap where a value is not known
 */
export function linePath(points, box, { low, high }) {
  let isDrawn = false;
  const steps = points.map(({ x, y }) => {
    if (y === null) {
      isDrawn = false;
      return "";
    }
    const command = isDrawn ? "L" : "M";
    isDrawn = true;
    const across = box.left + x * box.width;
    const down = box.top + (1 - (y - low) / (high - low)) * box.height;
    const dot = command === "M" ? "h0" : ""; // one value alone is seen as well
    return `${command}${across.toFixed(1)} ${down.toFixed(1)}${dot}`;
  });
  return steps.join("");
}
