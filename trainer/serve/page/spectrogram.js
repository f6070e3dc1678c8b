// What the pictures show: peaks of the waveform and a mel spectrogram, computed in pieces so that the page responds.

export const SAMPLE_RATE_HZ = 22050;
export const FLOOR_DB = -80;
export const MIN_HZ = 30;
export const NUM_BANDS = 128;
const FFT_SIZE = 2048;
const MAX_COLUMNS = 1000;
const MAX_FRAMES_PER_COLUMN = 4;
const WORK_MS = 12;

/** The mel scale of HTK. */
export const melOfHz = (hz) => 2595 * Math.log10(1 + hz / 700);
export const hzOfMel = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Decodes a file (Blob) at SAMPLE_RATE_HZ and returns its samples, mixed to mono (Float32Array). Throws if it cannot. */
export async function decodeMono(file) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE_HZ);
  const buffer = await context.decodeAudioData(await file.arrayBuffer());
  const mono = buffer.getChannelData(0);
  for (let channel = 1; channel < buffer.numberOfChannels; channel += 1) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mono.length; i += 1) {
      mono[i] += samples[i];
    }
  }
  for (let i = 0; i < mono.length; i += 1) {
    mono[i] /= buffer.numberOfChannels;
  }
  return mono;
}

/** Waits for the browser where this piece of work has lasted WORK_MS; throws an AbortError once `signal` is aborted. */
function makePauses(signal) {
  let start = performance.now();
  return async () => {
    if (performance.now() - start > WORK_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      start = performance.now();
    }
    signal.throwIfAborted();
  };
}

/** Returns the lowest and highest sample of each of at most `numColumns` columns: {low, high}, Float32Arrays. */
export async function peaks(samples, { numColumns, signal }) {
  const pause = makePauses(signal);
  const columns = Math.min(numColumns, samples.length);
  const low = new Float32Array(columns);
  const high = new Float32Array(columns);
  for (let column = 0; column < columns; column += 1) {
    const end = Math.floor(((column + 1) * samples.length) / columns);
    for (let i = Math.floor((column * samples.length) / columns); i < end; i += 1) {
      low[column] = Math.min(low[column], samples[i]);
      high[column] = Math.max(high[column], samples[i]);
    }
    await pause();
  }
  return { low, high };
}

/** Returns a function that transforms (real, imaginary) in place: the FFT of Cooley and Tukey, radix 2. */
export function makeFft(size) {
  const cosines = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
  const sines = Float64Array.from({ length: size / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / size));
  const numBits = Math.log2(size);
  const reversed = Uint32Array.from({ length: size }, (_, i) => {
    let bits = 0;
    for (let bit = 0; bit < numBits; bit += 1) {
      bits |= ((i >> bit) & 1) << (numBits - 1 - bit);
    }
    return bits;
  });
  return (real, imaginary) => {
    for (let i = 0; i < size; i += 1) {
      const j = reversed[i];
      if (j > i) {
        [real[i], real[j]] = [real[j], real[i]];
        [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k += 1) {
          const [a, b] = [start + k, start + k + half];
          const [c, s] = [cosines[k * step], sines[k * step]];
          const r = real[b] * c - imaginary[b] * s;
          const i = real[b] * s + imaginary[b] * c;
          real[b] = real[a] - r;
          imaginary[b] = imaginary[a] - i;
          real[a] += r;
          imaginary[a] += i;
        }
      }
    }
  };
}

/** Returns triangles that reach 1, spaced evenly in mel: for each band, the first bin and the weights from there on. */
export function melBands({ numBands, fftSize, sampleRateHz, minHz }) {
  const [lowest, highest] = [melOfHz(minHz), melOfHz(sampleRateHz / 2)];
  const edges = Array.from({ length: numBands + 2 }, (_, i) => {
    return (hzOfMel(lowest + ((highest - lowest) * i) / (numBands + 1)) * fftSize) / sampleRateHz;
  });
  return Array.from({ length: numBands }, (_, band) => {
    const [left, centre, right] = edges.slice(band, band + 3);
    const first = Math.ceil(left);
    const length = Math.floor(right) - first + 1;
    const weights = Float64Array.from({ length }, (_, i) => {
      return Math.max(0, Math.min((first + i - left) / (centre - left), (right - first - i) / (right - centre)));
    });
    return { first, weights };
  });
}

/** Copies FFT_SIZE samples around a centre into `frame`, windowed; what lies outside the audio is 0. */
function fillFrame(frame, { samples, centre, window }) {
  const start = centre - FFT_SIZE / 2;
  for (let i = 0; i < FFT_SIZE; i += 1) {
    frame[i] = (samples[start + i] ?? 0) * window[i];
  }
}

/**
 * Returns a mel spectrogram in dB below its maximum: {numColumns, values}, values from FLOOR_DB to 0, columns of
 * NUM_BANDS bands from low to high (Float32Array).
 *
 * A column is the mean power of at most MAX_FRAMES_PER_COLUMN frames, spread over its part of the audio.
 */
export async function melSpectrogram(samples, { signal }) {
  const pause = makePauses(signal);
  const fft = makeFft(FFT_SIZE);
  const bands = melBands({ numBands: NUM_BANDS, fftSize: FFT_SIZE, sampleRateHz: SAMPLE_RATE_HZ, minHz: MIN_HZ });
  const window = Float64Array.from({ length: FFT_SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / FFT_SIZE));
  const numColumns = Math.max(1, Math.min(MAX_COLUMNS, Math.ceil((4 * samples.length) / FFT_SIZE)));
  const hop = samples.length / numColumns;
  const numFrames = Math.max(1, Math.min(MAX_FRAMES_PER_COLUMN, Math.round(hop / (FFT_SIZE / 2))));
  const [real, imaginary] = [new Float64Array(FFT_SIZE), new Float64Array(FFT_SIZE)];
  const values = new Float32Array(numColumns * NUM_BANDS);
  for (let column = 0; column < numColumns; column += 1) {
    for (let frame = 0; frame < numFrames; frame += 1) {
      fillFrame(real, { samples, centre: Math.floor((column + (frame + 0.5) / numFrames) * hop), window });
      imaginary.fill(0);
      fft(real, imaginary);
      bands.forEach(({ first, weights }, band) => {
        let power = 0;
        for (let i = 0; i < weights.length; i += 1) {
          power += weights[i] * (real[first + i] ** 2 + imaginary[first + i] ** 2);
        }
        values[column * NUM_BANDS + band] += power / numFrames;
      });
    }
    await pause();
  }
  const loudest = values.reduce((a, b) => Math.max(a, b), 1e-10);
  return {
    numColumns,
    values: values.map((power) => Math.max(FLOOR_DB, 10 * Math.log10(Math.max(power, 1e-30) / loudest))),
  };
}
