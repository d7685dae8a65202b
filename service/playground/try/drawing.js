/** A canvas to draw on, with a mouse, a pen, a finger or the keyboard. */

import { byId, say } from "../dom.js";
import { keyboardPen } from "./pen.js";
import { paint } from "./strokes.js";

/** @typedef {import("./strokes.js").Point} Point */
/** @typedef {import("./strokes.js").Stroke} Stroke */

// Of the longer side: enough for a network that looks at 64 points, and a small PNG.
const SIDE = 280;

/**
 * Let a person draw.
 *
 * @param {(drawing: Blob) => void} onDrawing told of the whole after each stroke
 * @returns {{reset: (width: number, height: number) => void}} reset clears it, for a model's sizes
 */
export function watchDrawing(onDrawing) {
  const canvas = byId("drawing", HTMLCanvasElement);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const thickness = byId("thickness", HTMLInputElement);
  const inverted = byId("inverted", HTMLInputElement);
  /** @type {Stroke[]} */
  const strokes = [];
  let drawn = false; // whether the last stroke is still being drawn

  const show = () => {
    paint(context, strokes, inverted.checked);
    pen.show(context, inverted.checked);
  };

  /** @param {Point} point */
  function begin(point) {
    const side = Math.max(canvas.width, canvas.height);
    strokes.push({ thickness: (thickness.valueAsNumber / 100) * side, points: [point] });
    drawn = true;
    show();
  }

  /** @param {Point} point */
  function move(point) {
    if (drawn) strokes[strokes.length - 1].points.push(point);
    show();
  }

  function end() {
    if (!drawn) return;
    drawn = false;
    changed();
  }

  function changed() {
    show();
    if (strokes.length === 0) return;
    const sheet = document.createElement("canvas"); // without the keyboard's pen
    [sheet.width, sheet.height] = [canvas.width, canvas.height];
    const plain = /** @type {CanvasRenderingContext2D} */ (sheet.getContext("2d"));
    paint(plain, strokes, inverted.checked);
    sheet.toBlob((drawing) => drawing && onDrawing(drawing));
  }

  function undo() {
    if (strokes.pop() === undefined) return;
    say(strokes.length === 0 ? "The sheet is empty." : "The last stroke is gone.");
    changed();
  }

  function clear() {
    strokes.length = 0;
    drawn = false;
    show();
  }

  const pen = keyboardPen(canvas, { begin, move, end, undo, show });
  watchPointer(canvas, { begin, move, end });
  byId("undo", HTMLButtonElement).addEventListener("click", undo);
  byId("clear", HTMLButtonElement).addEventListener("click", clear);
  inverted.addEventListener("change", changed);
  return {
    reset(width, height) {
      const scale = SIDE / Math.max(width, height);
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      pen.reset();
      clear();
    },
  };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{begin: (point: Point) => void, move: (point: Point) => void, end: () => void}} hand
 */
function watchPointer(canvas, { begin, move, end }) {
  /** @param {PointerEvent} event @returns {Point} */
  const at = (event) => ({
    x: (event.offsetX / canvas.clientWidth) * canvas.width,
    y: (event.offsetY / canvas.clientHeight) * canvas.height,
  });
  canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    begin(at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    // A fast hand is seen more often than the page is painted.
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const each of steps.length > 0 ? steps : [event]) move(at(each));
  });
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}
