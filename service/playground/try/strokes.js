/** What was drawn: strokes on a square or oblong sheet, and how they look. */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{thickness: number, points: Point[]}} Stroke */

// A line without a length is not painted, and a dot is one.
const DOT = 0.01;

/**
 * Paint a sheet.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Stroke[]} strokes
 * @param {boolean} inverted dark on light; data sets of digits and clothes are light on dark
 */
export function paint(context, strokes, inverted) {
  const { width, height } = context.canvas;
  const [paper, ink] = inverted ? ["#fff", "#000"] : ["#000", "#fff"];
  context.fillStyle = paper;
  context.fillRect(0, 0, width, height);
  context.strokeStyle = ink;
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const { thickness, points } of strokes) {
    context.lineWidth = thickness;
    context.beginPath();
    for (const { x, y } of points) context.lineTo(x, y);
    if (points.length === 1) context.lineTo(points[0].x + DOT, points[0].y);
    context.stroke();
  }
}
