// Runs in the thread of the audio: mixes to mono and posts blocks of samples.

const BLOCK_FRAMES = 4096;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(BLOCK_FRAMES);
    this.filled = 0;
  }

  process([channels]) {
    for (let frame = 0; channels.length > 0 && frame < channels[0].length; frame += 1) {
      let sum = 0;
      for (const channel of channels) {
        sum += channel[frame];
      }
      this.block[this.filled] = sum / channels.length;
      this.filled += 1;
      if (this.filled === BLOCK_FRAMES) {
        this.port.postMessage(this.block);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
