/** The keyboard's pen on a canvas. */

import { say } from "../dom.js";

/** @typedef {import("./strokes.js").Point} Point */
/**
 * @typedef {{
 *   begin: (point: Point) => void, move: (point: Point) => void, end: () => void,
 *   undo: () => void, show: () => void,
 * }} Hand
 */

const STEPS = 28; // across the longer side, as many as MNIST has points
const RADIUS = 7; // of the ring that shows where the pen is

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Move a pen by the arrows, put it down and lift it by Space.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Hand} hand
 * @returns {{reset: () => void, show: (context: CanvasRenderingContext2D, inverted: boolean) => void}}
 */
export function keyboardPen(canvas, hand) {
  let at = { x: 0, y: 0 };
  let isDown = false;
  let isUsed = false; // who draws with a mouse sees no ring

  /** @param {[number, number]} direction */
  function step([right, down]) {
    const size = Math.max(canvas.width, canvas.height) / STEPS;
    at = {
      x: Math.min(canvas.width, Math.max(0, at.x + right * size)),
      y: Math.min(canvas.height, Math.max(0, at.y + down * size)),
    };
    if (isDown) hand.move(at);
    else hand.show();
  }

  function toggle() {
    isDown = !isDown;
    say(isDown ? "The pen is down." : "The pen is up.");
    if (isDown) hand.begin(at);
    else hand.end();
  }

  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    const isOther = event.key === " " || event.key === "Backspace";
    if ((!arrow && !isOther) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault(); // else the page scrolls
    isUsed = true;
    if (arrow) step(arrow);
    else if (event.key === " ") toggle();
    else hand.undo();
  });
  canvas.addEventListener("blur", () => {
    if (isDown) toggle();
    isUsed = false;
    hand.show();
  });
  return {
    reset() {
      at = { x: canvas.width / 2, y: canvas.height / 4 };
      isDown = false;
    },
    show(context, inverted) {
      if (!isUsed) return;
      context.beginPath();
      context.arc(at.x, at.y, RADIUS, 0, 2 * Math.PI);
      context.lineWidth = isDown ? 4 : 2;
      context.strokeStyle = inverted ? "#24538f" : "#9cc2f5";
      context.stroke();
    },
  };
}
