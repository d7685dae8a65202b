/** Signals that are made here: the same choices give the same numbers. */

/** @typedef {{form: string, cycles: number, amplitude: number, noise: number}} Choice */

/** The forms, each a function of its phase, which goes up by 1 in each cycle. @type {Record<string, (phase: number) => number>} */
export const FORMS = {
  sine: (phase) => Math.sin(2 * Math.PI * phase),
  square: (phase) => (phase % 1 < 0.5 ? 1 : -1),
  sawtooth: (phase) => 2 * (phase % 1) - 1,
  triangle: (phase) => 1 - 4 * Math.abs((phase % 1) - 0.5),
  pulse: (phase) => Math.exp(-((((phase % 1) - 0.5) * 8) ** 2)),
  constant: () => 1,
};

const DIGITS = 4; // behind the point, so that a call can be read

/**
 * Return a signal, channel by channel; each channel is a quarter of a cycle behind the one before.
 *
 * @param {Choice} choice
 * @param {number} channels
 * @param {number} length
 * @returns {number[][]}
 */
export function waveform({ form, cycles, amplitude, noise }, channels, length) {
  const random = generator(1);
  return Array.from({ length: channels }, (_, channel) =>
    Array.from({ length }, (_, step) => {
      const phase = (cycles * step) / length + channel / 4;
      return round(amplitude * FORMS[form](phase) + noise * normal(random));
    }),
  );
}

/** @param {number} value @returns {number} */
function round(value) {
  return Number(value.toFixed(DIGITS)) + 0; // no -0
}

/** Box and Muller, 1958. @param {() => number} random @returns {number} */
function normal(random) {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return radius * Math.cos(2 * Math.PI * random());
}

/** Mulberry32 by T. Ettinger: Math.random has no seed. @param {number} seed @returns {() => number} */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
