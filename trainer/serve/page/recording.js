// Records the microphone, and writes what it has recorded as a WAV file.

const WAV_HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;

/** Returns samples from -1 to 1 as 16 bits: the nearest of 32,767 steps, clipped outside. */
export function toInt16(samples) {
  return Int16Array.from(samples, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}

/** Returns a WAV file of 16 bits, mono (Blob); `blocks` are Int16Arrays, whose bytes are little-endian in any browser. */
export function wavFile(blocks, sampleRateHz) {
  const dataBytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(WAV_HEADER_BYTES));
  const writeText = (offset, text) =>
    [...text].forEach((letter, i) => header.setUint8(offset + i, letter.charCodeAt(0)));
  writeText(0, "RIFF");
  header.setUint32(4, WAV_HEADER_BYTES - 8 + dataBytes, true);
  writeText(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, sampleRateHz, true);
  header.setUint32(28, sampleRateHz * BYTES_PER_SAMPLE, true);
  header.setUint16(32, BYTES_PER_SAMPLE, true);
  header.setUint16(34, 8 * BYTES_PER_SAMPLE, true);
  writeText(36, "data");
  header.setUint32(40, dataBytes, true);
  return new Blob([header, ...blocks], { type: "audio/wav" });
}

/** Whether the browser lets this page use a microphone at all; it does not over http from another computer. */
export function canRecord() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);
}

/** Returns how many samples a recording may have for the service's limits. */
export function maxSamples({ max_duration_s: maxDurationS, max_upload_bytes: maxBytes }, sampleRateHz) {
  return Math.max(
    0,
    Math.floor(Math.min(maxDurationS * sampleRateHz, (maxBytes - WAV_HEADER_BYTES) / BYTES_PER_SAMPLE)),
  );
}

/**
 * Starts a recording from the microphone; returns two functions that end it, `stop` and `discard`, and the
 * longest duration that `limits` allow, `longestS`, in seconds.
 *
 * `onElapsed` gets the duration so far, in seconds. `onEnd` gets the WAV file (File), once, after `stop` was called, the
 * longest duration is reached, or the microphone is gone. The last block, which is not full and shorter than a tenth of
 * a second, is left out.
 *
 * Throws what getUserMedia does, such as a NotAllowedError.
 */
export async function startRecording(limits, { onElapsed, onEnd }) {
  // What browsers do for speech would change music.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext();
  const stopTracks = () => stream.getTracks().forEach((track) => track.stop());
  try {
    await context.audioWorklet.addModule("recorder_worklet.js");
    // Some browsers suspend what was not created in the click itself.
    await context.resume();
  } catch (error) {
    stopTracks();
    await context.close();
    throw error;
  }
  const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  const longest = maxSamples(limits, context.sampleRate);
  const blocks = [];
  let numSamples = 0;
  let ended = false;
  const discard = () => {
    if (!ended) {
      ended = true;
      stopTracks();
      context.close();
    }
  };
  const stop = () => {
    if (!ended) {
      discard();
      onEnd(new File([wavFile(blocks, context.sampleRate)], "recording.wav", { type: "audio/wav" }));
    }
  };
  node.port.onmessage = ({ data }) => {
    if (ended) {
      return;
    }
    const block = toInt16(data.subarray(0, longest - numSamples));
    blocks.push(block);
    numSamples += block.length;
    onElapsed(numSamples / context.sampleRate);
    if (numSamples >= longest) {
      stop();
    }
  };
  stream.getAudioTracks()[0].addEventListener("ended", stop);
  context.createMediaStreamSource(stream).connect(node);
  return { stop, discard, longestS: longest / context.sampleRate };
}
