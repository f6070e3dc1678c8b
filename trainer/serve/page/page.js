// The page of the service: takes a file or a recording, sends it, and shows the answer.

import { ServiceError, fetchModel, predict, setToken } from "./api.js";
import { clock, spectrogramImage } from "./drawing.js";
import { Pictures } from "./pictures.js";
import { canRecord, startRecording } from "./recording.js";
import { durationText, showModel, showNumbers, sizeText } from "./result.js";
import { SAMPLE_RATE_HZ, decodeMono, melSpectrogram, peaks } from "./spectrogram.js";

// Decoded, a quarter of an hour of stereo takes 160 MB of the browser's memory.
const MAX_DECODED_S = 900;
const PEAK_COLUMNS = 2000;
const RETRY_MS = 2000;

const byId = (id) => document.getElementById(id);
const main = document.querySelector("main");
const player = byId("player");
const fileInput = byId("file");
const pictures = new Pictures();

let model = null;
/** The file being processed; a new one aborts it. */
let job = new AbortController();
let recorder = null;

/** Shows a state of the page: empty, uploading, computing, result or error. */
function setState(state) {
  const isBusy = state === "uploading" || state === "computing";
  // A hidden button would leave the keyboard nowhere.
  const losesFocus = !isBusy && byId("progress").contains(document.activeElement);
  main.dataset.state = state;
  byId("progress").hidden = !isBusy;
  byId("result").hidden = state !== "result";
  if (losesFocus) {
    fileInput.focus();
  }
}

function say(text, name = "") {
  const nameNode = document.createElement("bdi");
  nameNode.textContent = name;
  byId("status").replaceChildren(text, nameNode);
}

function fail(message) {
  say("");
  byId("alert").textContent = message;
  setState("error");
}

function showUpload(part) {
  byId("bar").value = part;
  byId("percent").textContent = `${Math.floor(100 * part)} %`;
}

function showComputing(name) {
  byId("bar").removeAttribute("value");
  byId("percent").textContent = "";
  say("Computing the genres of ", name);
  setState("computing");
}

function releasePlayer() {
  player.pause();
  if (player.src) {
    URL.revokeObjectURL(player.src);
    player.removeAttribute("src");
    player.load();
  }
}

function askForToken(error) {
  const wasOpen = !byId("token-form").hidden;
  byId("model-note").textContent = "";
  byId("token-form").hidden = false;
  byId("choice").hidden = true;
  // A link sends no token.
  byId("api").hidden = true;
  if (wasOpen) {
    fail(error.message);
  }
  byId("token").focus();
}

/** Stops what runs, so that a new file can be taken. */
function reset() {
  job.abort();
  job = new AbortController();
  recorder?.discard();
  showRecording(null);
  releasePlayer();
  byId("alert").textContent = "";
}

async function process(file) {
  reset();
  const { signal } = job;
  const largest = model.limits.max_upload_bytes;
  if (file.size > largest) {
    fail(`The file has ${sizeText(file.size)}: the service takes at most ${sizeText(largest)}.`);
    return;
  }
  say("Uploading ", file.name);
  showUpload(0);
  setState("uploading");
  try {
    const onSent = () => showComputing(file.name);
    const result = await predict(file, { signal, onProgress: showUpload, onSent });
    showResult(file, result);
    await addPictures(file, { result, signal });
  } catch (error) {
    if (signal.aborted) {
      return;
    }
    fail(error instanceof ServiceError ? error.message : `The page cannot show the answer: ${error.message}`);
    if (error.status === 401) {
      askForToken(error);
    }
  }
}

function showResult(file, result) {
  say("");
  showNumbers(result, { name: file.name, model });
  byId("pictures-note").hidden = true;
  setState("result");
  pictures.show(result, model);
  byId("label").focus();
}

/** Loads the player and returns the duration of its audio in seconds; null if the browser cannot play it. */
function loadPlayer(file) {
  return new Promise((resolve) => {
    player.onloadedmetadata = () => resolve(player.duration);
    player.onerror = () => resolve(null);
    player.src = URL.createObjectURL(file);
  });
}

async function addPictures(file, { result, signal }) {
  player.hidden = false;
  const playedS = await loadPlayer(file);
  signal.throwIfAborted();
  player.hidden = playedS === null;
  let missing = "";
  if (playedS === null) {
    missing = "The browser cannot decode this file: there is no player, no waveform and no spectrogram.";
  } else if (Math.max(playedS, result.duration_s) > MAX_DECODED_S) {
    missing = `The audio is longer than ${durationText(MAX_DECODED_S)}: there is no waveform and no spectrogram.`;
  } else if (!(await addDecoded(file, signal))) {
    missing = "The browser cannot decode this file: there is no waveform and no spectrogram.";
  }
  if (missing) {
    byId("pictures-note").textContent = missing;
    byId("pictures-note").hidden = false;
    pictures.withoutAudio();
  }
}

/** Adds waveform and spectrogram; returns false if the browser cannot decode the file. */
async function addDecoded(file, signal) {
  let samples;
  try {
    samples = await decodeMono(file);
  } catch {
    return false;
  }
  signal.throwIfAborted();
  const waveform = await peaks(samples, { numColumns: PEAK_COLUMNS, signal });
  const image = spectrogramImage(await melSpectrogram(samples, { signal }));
  pictures.addAudio({ peaks: waveform, image, coveredS: samples.length / SAMPLE_RATE_HZ });
  return true;
}

function showRecording(running) {
  recorder = running;
  byId("record").textContent = running ? "Stop" : "Record";
  byId("recording").hidden = !running;
  byId("elapsed").textContent = clock(0);
  byId("longest-recording").textContent = running ? durationText(running.longestS) : "";
}

async function record() {
  if (recorder !== null) {
    recorder.stop();
    return;
  }
  reset();
  setState("empty");
  say("Waiting for the microphone");
  const { signal } = job;
  try {
    const started = await startRecording(model.limits, {
      onElapsed: (seconds) => (byId("elapsed").textContent = clock(seconds)),
      onEnd: process,
    });
    if (signal.aborted) {
      started.discard();
      return;
    }
    say("Recording");
    showRecording(started);
  } catch (error) {
    if (!signal.aborted) {
      fail(
        error.name === "NotAllowedError"
          ? "The browser does not allow the microphone."
          : `The microphone cannot be used: ${error.message}`,
      );
    }
  }
}

function onDrop(event) {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const { items, files } = event.dataTransfer;
  if (model === null || byId("choice").hidden || files.length === 0) {
    return;
  }
  if (files.length > 1) {
    fail(`${files.length} files were dropped: expected one.`);
  } else if (items[0]?.webkitGetAsEntry?.()?.isDirectory) {
    fail("A folder was dropped: expected an audio file.");
  } else {
    process(files[0]);
  }
}

async function loadModel() {
  try {
    model = await fetchModel();
  } catch (error) {
    if (error.status === 401) {
      askForToken(error);
    } else if (error.status === 503) {
      byId("model-note").textContent = error.message;
      setTimeout(loadModel, RETRY_MS);
    } else {
      byId("model-note").textContent = "";
      fail(error.message);
    }
    return;
  }
  byId("alert").textContent = "";
  byId("token-form").hidden = true;
  showModel(model);
  byId("choice").hidden = false;
  byId("record").hidden = !canRecord();
  byId("no-microphone").hidden = canRecord();
  setState("empty");
}

fileInput.addEventListener("change", () => {
  if (fileInput.files.length > 0) {
    process(fileInput.files[0]);
  }
  // The same file can then be chosen again.
  fileInput.value = "";
});
byId("record").addEventListener("click", record);
byId("cancel").addEventListener("click", () => {
  reset();
  setState("empty");
  say("Cancelled.");
});
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  if (/^[!-~]+$/.test(token)) {
    setToken(token);
    loadModel();
  } else {
    fail("A token has letters, digits and signs of ASCII only.");
  }
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dropping"));
addEventListener("drop", onDrop);
loadModel();
