/**
 * Reads .npy files, NumPy's format for one array.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */

/** @typedef {{values: number[], shape: number[]}} Numbers */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY

/** How a number of a type is read, and its bytes. @type {Record<string, [number, (view: DataView, at: number, little: boolean) => number]>} */
const TYPES = {
  f4: [4, (view, at, little) => view.getFloat32(at, little)],
  f8: [8, (view, at, little) => view.getFloat64(at, little)],
  i1: [1, (view, at) => view.getInt8(at)],
  u1: [1, (view, at) => view.getUint8(at)],
  i2: [2, (view, at, little) => view.getInt16(at, little)],
  u2: [2, (view, at, little) => view.getUint16(at, little)],
  i4: [4, (view, at, little) => view.getInt32(at, little)],
  u4: [4, (view, at, little) => view.getUint32(at, little)],
  i8: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  u8: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};

/**
 * Read an array.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Numbers}
 * @throws {Error} it is no such file, or one of a form that is not read here
 */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || MAGIC.some((byte, at) => view.getUint8(at) !== byte)) {
    throw new Error("this is no .npy file");
  }
  const isFirst = view.getUint8(MAGIC.length) === 1; // version 1 has two bytes for the length
  const start = isFirst ? 10 : 12;
  const length = isFirst ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder().decode(new Uint8Array(buffer).subarray(start, start + length));
  const { order, type, shape } = readHeader(header);
  const [size, get] = TYPES[type];
  const count = shape.reduce((product, each) => product * each, 1);
  if (buffer.byteLength - start - length !== count * size) {
    throw new Error(`the .npy file does not hold the ${count} numbers that its head names`);
  }
  const at = Array.from({ length: count }, (_, index) => start + length + index * size);
  return { values: at.map((each) => get(view, each, order !== ">")), shape };
}

/** @param {string} header a literal of a Python dictionary */
function readHeader(header) {
  const order = /'descr': '([<>|=])(\w+)'/.exec(header);
  const shape = /'shape': \(([\d, ]*)\)/.exec(header);
  if (order === null || shape === null || !(order[2] in TYPES)) {
    throw new Error("only .npy files of whole numbers, float32 or float64 are read here");
  }
  if (!/'fortran_order': False/.test(header)) {
    throw new Error("the .npy file is in Fortran's order: save numpy.ascontiguousarray of it");
  }
  const sizes = shape[1].split(",").filter((each) => each.trim() !== "");
  return { order: order[1], type: order[2], shape: sizes.map(Number) };
}
