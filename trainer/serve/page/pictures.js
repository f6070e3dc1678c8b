// The timeline and the spectrogram of a result, with the position of the audio player in both.

import { clock, drawScale, drawSpectrogram, drawTimeline, timeScale } from "./drawing.js";
import { probabilityText } from "./result.js";

const PAGE_SEGMENTS = 10;

const byId = (id) => document.getElementById(id);
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** Returns segments in the order of time that do not overlap, each with the time of its end, end_s. */
function drawnSegments(timeline, durationS) {
  const ordered = [...timeline].sort((a, b) => a.start_s - b.start_s);
  return ordered.map((segment, i) => {
    const next = ordered[i + 1]?.start_s ?? Infinity;
    return { ...segment, end_s: Math.min(segment.start_s + segment.duration_s, next, durationS) };
  });
}

/** The pictures of one page; there is one. */
export class Pictures {
  #player = byId("player");
  #seek = byId("seek");
  #timeline = byId("timeline");
  #spectrogram = byId("spectrogram");
  #cursors = document.querySelectorAll(".cursor");
  #shown = null;
  #positionS = 0;

  constructor() {
    drawScale(byId("scale"));
    for (const picture of document.querySelectorAll(".picture")) {
      picture.addEventListener("pointerdown", (event) => this.#onPointer(event, picture));
      picture.addEventListener("pointermove", (event) => event.buttons === 1 && this.#onPointer(event, picture));
    }
    this.#seek.addEventListener("keydown", (event) => this.#onKey(event));
    for (const event of ["timeupdate", "seeked"]) {
      this.#player.addEventListener(event, () => this.#follow());
    }
    this.#player.addEventListener("play", () => this.#animate());
    new ResizeObserver(() => this.#draw()).observe(byId("pictures"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    addEventListener("beforeprint", () => this.#redrawForPrint(true));
    addEventListener("afterprint", () => this.#redrawForPrint(false));
  }

  /** Shows the timeline of a result, with space for the waveform and the spectrogram. */
  show(result, { labels }) {
    const last = result.timeline.reduce((end, segment) => Math.max(end, segment.start_s), 0);
    const durationS = Math.max(result.duration_s, last, 0.001);
    const segments = drawnSegments(result.timeline, durationS);
    this.#shown = {
      segments,
      durationS,
      indexOf: (genre) => labels.indexOf(genre),
      peaks: null,
      image: null,
      coveredS: 0,
    };
    this.#showSpace(true);
    this.#setBusy(true);
    this.#moveTo(0);
    this.#draw();
  }

  /** Adds what was computed from the decoded audio, which lasts coveredS; the service may have decoded a part of it. */
  addAudio({ peaks, image, coveredS }) {
    const durationS = Math.max(this.#shown.durationS, coveredS);
    Object.assign(this.#shown, { peaks, image, coveredS, durationS });
    this.#draw();
    this.#setBusy(false);
  }

  /** Takes the space for waveform and spectrogram away: there will be none. */
  withoutAudio() {
    this.#showSpace(false);
    this.#draw();
    this.#setBusy(false);
  }

  #setBusy(isBusy) {
    byId("pictures").setAttribute("aria-busy", String(isBusy));
  }

  #showSpace(isThere) {
    this.#timeline.classList.toggle("strip", !isThere);
    byId("spectrogram-figure").hidden = !isThere;
  }

  #draw() {
    if (this.#shown !== null && this.#timeline.clientWidth > 0) {
      drawTimeline(this.#timeline, this.#shown);
      drawSpectrogram(this.#spectrogram, this.#shown);
      this.#moveTo(this.#positionS);
    }
  }

  #redrawForPrint(printed) {
    document.documentElement.classList.toggle("printed", printed);
    this.#draw();
  }

  #segmentAt(seconds) {
    return this.#shown.segments.findLast((segment) => segment.start_s <= seconds) ?? null;
  }

  #moveTo(seconds) {
    const { durationS } = this.#shown;
    this.#positionS = Math.min(Math.max(seconds, 0), durationS);
    const x = timeScale(this.#seek.clientWidth, durationS).xOf(this.#positionS);
    for (const cursor of this.#cursors) {
      cursor.style.transform = `translateX(${x - 1}px)`;
    }
    const segment = this.#segmentAt(this.#positionS);
    const genre =
      segment && this.#positionS <= segment.end_s ? `, ${segment.genre} ${probabilityText(segment.probability)}` : "";
    this.#seek.setAttribute("aria-valuemax", durationS.toFixed(2));
    this.#seek.setAttribute("aria-valuenow", this.#positionS.toFixed(2));
    this.#seek.setAttribute("aria-valuetext", `${clock(this.#positionS)} of ${clock(durationS)}${genre}`);
  }

  #seekTo(seconds) {
    this.#moveTo(seconds);
    if (this.#player.readyState > 0) {
      this.#player.currentTime = this.#positionS;
    }
  }

  #follow() {
    if (this.#shown !== null && !this.#player.hidden) {
      this.#moveTo(this.#player.currentTime);
    }
  }

  #animate() {
    if (!this.#player.paused && !reducedMotion.matches) {
      this.#follow();
      requestAnimationFrame(() => this.#animate());
    }
  }

  #onPointer(event, picture) {
    if (event.button <= 0) {
      const scale = timeScale(picture.clientWidth, this.#shown.durationS);
      this.#seekTo(scale.secondsOf(event.clientX - picture.getBoundingClientRect().left));
    }
  }

  /** Moves by whole segments: to the start of the one that is so many further on. */
  #moveBySegments(number) {
    const { segments } = this.#shown;
    const current = segments.indexOf(this.#segmentAt(this.#positionS));
    const target = Math.min(Math.max(current + number, 0), segments.length - 1);
    this.#seekTo(segments[target]?.start_s ?? 0);
  }

  #onKey(event) {
    const actions = {
      ArrowLeft: () => this.#moveBySegments(-1),
      ArrowDown: () => this.#moveBySegments(-1),
      ArrowRight: () => this.#moveBySegments(1),
      ArrowUp: () => this.#moveBySegments(1),
      PageUp: () => this.#moveBySegments(-PAGE_SEGMENTS),
      PageDown: () => this.#moveBySegments(PAGE_SEGMENTS),
      Home: () => this.#seekTo(0),
      End: () => this.#seekTo(this.#shown.durationS),
      " ": () => (this.#player.paused ? this.#player.play().catch(() => {}) : this.#player.pause()),
    };
    if (Object.hasOwn(actions, event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      actions[event.key]();
    }
  }
}
