// Draws what a song's result shows on canvases: timeline, waveform, spectrogram, and the colours of genres.

import { FLOOR_DB, MIN_HZ, NUM_BANDS, SAMPLE_RATE_HZ, melOfHz } from "./spectrogram.js";

const NUM_COLOURS = 8;
const NUM_PATTERNS = 4;
/** Space for the frequencies left of the spectrogram, in CSS pixels; the timeline keeps it free, too. */
const LEFT_PX = 44;
const AXIS_PX = 18;
const STRIP_PX = 26;
const TICKS_HZ = [100, 300, 1000, 3000, 10000];
const TICK_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
// Eleven evenly spaced colours of matplotlib's map magma (CC0).
const MAGMA = [
  [0, 0, 4],
  [20, 14, 54],
  [59, 15, 112],
  [100, 26, 128],
  [140, 41, 129],
  [183, 55, 121],
  [222, 73, 104],
  [247, 112, 92],
  [254, 159, 109],
  [254, 207, 146],
  [252, 253, 191],
];

/** Returns the CSS classes of a genre: its colour, and from the ninth genre on a pattern. */
export function genreClasses(index) {
  return [`genre-${index % NUM_COLOURS}`, `pattern-${Math.floor(index / NUM_COLOURS) % NUM_PATTERNS}`];
}

/** 75.2 → "1:15". */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Returns the black or white that is easier to read on a colour such as #0071b1. */
function inkOn(background) {
  const [red, green, blue] = [1, 3, 5].map((i) => (parseInt(background.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000" : "#fff";
}

/** Returns the fill of a genre on a canvas: the colour, or the colour with the lines of its pattern. */
function genreFill(context, index) {
  const base = colour(`genre-${index % NUM_COLOURS}`);
  const pattern = Math.floor(index / NUM_COLOURS) % NUM_PATTERNS;
  if (pattern === 0) {
    return base;
  }
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const ink = tile.getContext("2d");
  ink.fillStyle = base;
  ink.fillRect(0, 0, 8, 8);
  ink.strokeStyle = colour("back");
  ink.lineWidth = 2;
  ink.beginPath();
  const lines = {
    1: [
      [-2, 10, 10, -2],
      [-2, 2, 2, -2],
      [6, 10, 10, 6],
    ],
    2: [[4, 0, 4, 8]],
    3: [[0, 4, 8, 4]],
  }[pattern];
  for (const [x1, y1, x2, y2] of lines) {
    ink.moveTo(x1, y1);
    ink.lineTo(x2, y2);
  }
  ink.stroke();
  return context.createPattern(tile, "repeat");
}

/** Sizes a canvas for the screen's pixels and returns {context, width, height}, the latter in CSS pixels. */
function prepare(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

/** Maps times to pixels and back, for a canvas of a width in CSS pixels. */
export function timeScale(width, durationS) {
  const plotPx = Math.max(1, width - LEFT_PX);
  return {
    xOf: (seconds) => LEFT_PX + (plotPx * Math.min(Math.max(seconds, 0), durationS)) / durationS,
    secondsOf: (x) => (durationS * Math.min(Math.max(x - LEFT_PX, 0), plotPx)) / plotPx,
  };
}

function drawTimeAxis(context, { scale, width, height, durationS }) {
  const fits = (step) => scale.xOf(step) - scale.xOf(0) >= 48;
  const step = TICK_STEPS_S.find((candidate) => candidate <= durationS && fits(candidate)) ?? durationS;
  context.fillStyle = colour("soft");
  context.textBaseline = "bottom";
  for (let seconds = 0; seconds <= durationS; seconds += step) {
    const x = scale.xOf(seconds);
    context.textAlign = x + 16 > width ? "right" : "center";
    context.fillRect(x - 0.5, height - AXIS_PX, 1, 4);
    context.fillText(clock(seconds), x, height);
  }
}

function drawSegment(context, { segment, scale, top, index }) {
  const left = scale.xOf(segment.start_s);
  const width = Math.max(1, scale.xOf(segment.end_s) - left);
  context.fillStyle = genreFill(context, index);
  context.fillRect(left, top, width, STRIP_PX);
  context.fillStyle = colour("back");
  context.fillRect(left + width - 1, top, width > 3 ? 1 : 0, STRIP_PX);
}

/** Returns the stretches of one genre: segments of it that follow one another. */
function runsOf(segments) {
  const runs = [];
  for (const { genre, start_s, end_s } of segments) {
    const last = runs.at(-1);
    if (last?.genre === genre && start_s - last.end_s < 0.01) {
      last.end_s = end_s;
    } else {
      runs.push({ genre, start_s, end_s });
    }
  }
  return runs;
}

/** Writes the name of a genre in the middle of its stretch, if there is space for it. */
function drawName(context, { run, scale, top, index }) {
  const [left, right] = [scale.xOf(run.start_s), scale.xOf(run.end_s)];
  const width = context.measureText(run.genre).width + 10;
  if (width + 2 <= right - left) {
    const middle = (left + right) / 2;
    const base = colour(`genre-${index % NUM_COLOURS}`);
    context.fillStyle = base;
    context.fillRect(middle - width / 2, top, width, STRIP_PX);
    context.fillStyle = inkOn(base);
    context.textBaseline = "middle";
    context.textAlign = "center";
    context.fillText(run.genre, middle, top + STRIP_PX / 2 + 1);
  }
}

function drawWaveform(context, { peaks, coveredS, scale, segments, indexOf, height }) {
  const { low, high } = peaks;
  const loudest = Math.max(
    1e-6,
    high.reduce((a, b) => Math.max(a, b), 0),
    -low.reduce((a, b) => Math.min(a, b), 0),
  );
  const middle = height / 2;
  const columnPx = Math.max(1, scale.xOf(coveredS / low.length) - scale.xOf(0));
  const fills = new Map();
  let next = 0;
  for (let column = 0; column < low.length; column += 1) {
    const seconds = ((column + 0.5) * coveredS) / low.length;
    while (next < segments.length && segments[next].end_s <= seconds) {
      next += 1;
    }
    const segment = segments[next]?.start_s <= seconds ? segments[next] : null;
    const index = segment ? indexOf(segment.genre) : -1;
    if (!fills.has(index)) {
      fills.set(index, index < 0 ? colour("soft") : genreFill(context, index));
    }
    context.fillStyle = fills.get(index);
    const top = middle - (high[column] / loudest) * (middle - 2);
    const bottom = middle - (low[column] / loudest) * (middle - 2);
    context.fillRect(scale.xOf((column * coveredS) / low.length), top, columnPx, Math.max(1, bottom - top));
  }
}

/**
 * Draws the waveform, coloured by genre, over the strip of segments and the axis of time.
 *
 * `segments` have start_s, end_s and genre, in the order of time and without overlap. `peaks` may be null: only the strip is
 * drawn then. `coveredS` is the duration that the peaks cover.
 */
export function drawTimeline(canvas, { segments, indexOf, durationS, peaks, coveredS }) {
  const { context, width, height } = prepare(canvas);
  const scale = timeScale(width, durationS);
  const top = height - AXIS_PX - STRIP_PX - 2;
  if (peaks !== null) {
    drawWaveform(context, { peaks, coveredS, scale, segments, indexOf, height: top });
  }
  for (const segment of segments) {
    drawSegment(context, { segment, scale, top, index: indexOf(segment.genre) });
  }
  for (const run of runsOf(segments)) {
    drawName(context, { run, scale, top, index: indexOf(run.genre) });
  }
  drawTimeAxis(context, { scale, width, height, durationS });
}

/** Returns red, green and blue of dB between FLOOR_DB and 0. */
function magma(decibels) {
  const position = (1 - decibels / FLOOR_DB) * (MAGMA.length - 1);
  const below = Math.min(MAGMA.length - 2, Math.max(0, Math.floor(position)));
  return MAGMA[below].map((value, i) => value + (MAGMA[below + 1][i] - value) * (position - below));
}

/** Draws the colours from FLOOR_DB to 0 dB. */
export function drawScale(canvas) {
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${magma(FLOOR_DB * (1 - x / (canvas.width - 1))).join(" ")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

/** Returns a canvas with a pixel for each value of a mel spectrogram, the highest band on top. */
export function spectrogramImage({ numColumns, values }) {
  const image = new ImageData(numColumns, NUM_BANDS);
  const palette = Array.from({ length: 256 }, (_, i) => [...magma(FLOOR_DB * (1 - i / 255)), 255]);
  for (let column = 0; column < numColumns; column += 1) {
    for (let band = 0; band < NUM_BANDS; band += 1) {
      const level = Math.round(255 * (1 - values[column * NUM_BANDS + band] / FLOOR_DB));
      image.data.set(palette[level], 4 * ((NUM_BANDS - 1 - band) * numColumns + column));
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = numColumns;
  canvas.height = NUM_BANDS;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Draws the image of a mel spectrogram, if it is not null, and the axis in Hz. `coveredS` is the duration it covers. */
export function drawSpectrogram(canvas, { image, durationS, coveredS }) {
  const { context, width, height } = prepare(canvas);
  const scale = timeScale(width, durationS);
  if (image !== null) {
    context.drawImage(image, LEFT_PX, 0, scale.xOf(coveredS) - LEFT_PX, height);
  }
  const [lowest, highest] = [melOfHz(MIN_HZ), melOfHz(SAMPLE_RATE_HZ / 2)];
  context.fillStyle = colour("soft");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const hz of TICKS_HZ) {
    const y = height * (1 - (melOfHz(hz) - lowest) / (highest - lowest));
    context.fillText(hz < 1000 ? String(hz) : `${hz / 1000}k`, LEFT_PX - 8, Math.max(8, y));
    context.fillRect(LEFT_PX - 5, y, 5, 1);
  }
}
