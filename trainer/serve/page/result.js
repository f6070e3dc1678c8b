// Fills the page with what the service has answered: the numbers, as text. Names are set as text, never as HTML.

import { genreClasses } from "./drawing.js";

const byId = (id) => document.getElementById(id);

/** 0.81249 → "0.812", in all of the page. */
export const probabilityText = (probability) => probability.toFixed(3);

const number = (value, digits) => String(Number(value.toFixed(digits)));

/** 67108864 → "64 MiB". */
export function sizeText(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${number(bytes / 1024 ** power, 1)} ${units[power]}`;
}

/** 600 → "10 min", 45 → "45 s". */
export function durationText(seconds) {
  return seconds < 120 ? `${number(seconds, 1)} s` : `${number(seconds / 60, 1)} min`;
}

function element(tag, { text = "", classes = [], children = [] } = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.classList.add(...classes);
  node.append(...children);
  return node;
}

function genreName(genre, labels) {
  const swatch = element("span", { classes: ["swatch", ...genreClasses(labels.indexOf(genre))] });
  return element("span", { classes: ["genre"], children: [swatch, element("bdi", { text: genre })] });
}

function legendItems(genres, labels) {
  return genres.map((genre) => element("li", { children: [genreName(genre, labels)] }));
}

/** Shows the answer of /v1/model. */
export function showModel({ name, kind, labels, segment_duration_s, limits }) {
  document.title = `${name}: music genre`;
  const model = kind === "export" ? "An exported model" : "A run";
  byId("model-note").textContent =
    `${model} of beamtune names one of ${labels.length} genres, for each segment and for the whole.`;
  byId("model-name").textContent = name;
  byId("model-segment").textContent = `${number(segment_duration_s, 3)} s`;
  byId("max-duration").textContent = durationText(limits.max_duration_s);
  byId("max-bytes").textContent = sizeText(limits.max_upload_bytes);
  byId("facts").hidden = false;
  byId("model-genres").replaceChildren(...legendItems(labels, labels));
  byId("genres").hidden = false;
}

function probabilityRow({ genre, probability }, labels) {
  const bar = element("span", { classes: ["bar", ...genreClasses(labels.indexOf(genre))] });
  bar.style.width = `${100 * probability}%`;
  const name = element("th", { children: [genreName(genre, labels)] });
  name.scope = "row";
  return element("tr", {
    children: [
      name,
      element("td", { children: [bar] }),
      element("td", { text: probabilityText(probability), classes: ["number"] }),
    ],
  });
}

function segmentRow({ start_s, duration_s, genre, probability }, labels) {
  return element("tr", {
    children: [
      element("td", { text: start_s.toFixed(1), classes: ["number"] }),
      element("td", { text: duration_s.toFixed(1), classes: ["number"] }),
      element("td", { children: [genreName(genre, labels)] }),
      element("td", { text: probabilityText(probability), classes: ["number"] }),
    ],
  });
}

/** Shows the answer of /v1/predict for a file of this name, by the answer of /v1/model. */
export function showNumbers(result, { name, model }) {
  const { labels } = model;
  const [best] = result.genres;
  const isUnknown = result.label !== best.genre;
  byId("label").replaceChildren(element("bdi", { text: result.label }));
  byId("result-name").textContent = name;
  const segments = result.num_segments === 1 ? "1 segment" : `${result.num_segments} segments`;
  byId("result-note").textContent = `${number(result.duration_s, 1)} s, ${segments}`;
  byId("partial").hidden = !result.is_partial;
  byId("partial").textContent = result.is_partial ? partialText(result) : "";
  byId("unknown").hidden = !isUnknown;
  byId("unknown").textContent = isUnknown ? unknownText(best, model) : "";
  const rows = result.genres.map((genre) => probabilityRow(genre, labels));
  byId("probabilities").tBodies[0].replaceChildren(...rows);
  byId("segments").tBodies[0].replaceChildren(...result.timeline.map((segment) => segmentRow(segment, labels)));
  const occurring = new Set(result.timeline.map((segment) => segment.genre));
  byId("legend").replaceChildren(
    ...legendItems(
      labels.filter((label) => occurring.has(label)),
      labels,
    ),
  );
}

function partialText({ duration_s: decoded, expected_duration_s: expected }) {
  const stated = typeof expected === "number" ? ` of the ${number(expected, 1)} s that the file states` : "";
  return `The result is of a part of the audio: ${number(decoded, 1)} s${stated} could be decoded.`;
}

function unknownText({ probability }, { min_confidence: least }) {
  return `The most probable genre reaches ${probabilityText(probability)}; the service names one from ${number(least, 3)} on.`;
}
