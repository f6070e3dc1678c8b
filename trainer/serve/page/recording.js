// Records the microphone, and writes what it has recorded as a WAV file.

const WAV_HEADER_BYTES = 44;
const BYTES_PER_SAMPLE = 2;

/**
 * Returns a WAV file of 16 bits, mono, as an ArrayBuffer.
 *
 * `blocks` are Float32Arrays of samples from -1 to 1; what lies outside is clipped. Rounds as libsndfile does, to the
 * nearest of 32,767 steps.
 */
export function encodeWav(blocks, sampleRateHz) {
  const numSamples = blocks.reduce((sum, block) => sum + block.length, 0);
  const dataBytes = numSamples * BYTES_PER_SAMPLE;
  const file = new DataView(new ArrayBuffer(WAV_HEADER_BYTES + dataBytes));
  const writeText = (offset, text) => [...text].forEach((letter, i) => file.setUint8(offset + i, letter.charCodeAt(0)));
  writeText(0, "RIFF");
  file.setUint32(4, WAV_HEADER_BYTES - 8 + dataBytes, true);
  writeText(8, "WAVEfmt ");
  file.setUint32(16, 16, true);
  file.setUint16(20, 1, true);
  file.setUint16(22, 1, true);
  file.setUint32(24, sampleRateHz, true);
  file.setUint32(28, sampleRateHz * BYTES_PER_SAMPLE, true);
  file.setUint16(32, BYTES_PER_SAMPLE, true);
  file.setUint16(34, 8 * BYTES_PER_SAMPLE, true);
  writeText(36, "data");
  file.setUint32(40, dataBytes, true);
  let offset = WAV_HEADER_BYTES;
  for (const block of blocks) {
    for (const sample of block) {
      file.setInt16(offset, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
      offset += BYTES_PER_SAMPLE;
    }
  }
  return file.buffer;
}

/** Whether the browser lets this page use a microphone at all; it does not over http from another computer. */
export function canRecord() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);
}

/** Returns how many samples a recording may have for the service's limits. */
export function maxSamples({ max_duration_s: maxDurationS, max_upload_bytes: maxBytes }, sampleRateHz) {
  return Math.max(0, Math.floor(Math.min(maxDurationS * sampleRateHz, (maxBytes - WAV_HEADER_BYTES) / BYTES_PER_SAMPLE)));
}

/**
 * Starts a recording from the microphone; returns {stop, discard}, two functions that end it.
 *
 * `onElapsed` gets the duration so far, in seconds. `onEnd` gets the WAV file (File), once, after `stop` was
 * called, the longest duration that `limits` allow is reached, or the microphone is gone. Less than the last tenth of a
 * second, a block that is not full, is left out.
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
    ended = true;
    stopTracks();
    context.close();
  };
  const stop = () => {
    if (!ended) {
      discard();
      onEnd(new File([encodeWav(blocks, context.sampleRate)], "recording.wav", { type: "audio/wav" }));
    }
  };
  node.port.onmessage = ({ data }) => {
    if (ended) {
      return;
    }
    const block = data.subarray(0, longest - numSamples);
    blocks.push(block);
    numSamples += block.length;
    onElapsed(numSamples / context.sampleRate);
    if (numSamples >= longest) {
      stop();
    }
  };
  stream.getAudioTracks()[0].addEventListener("ended", stop);
  context.createMediaStreamSource(stream).connect(node);
  return { stop, discard };
}
