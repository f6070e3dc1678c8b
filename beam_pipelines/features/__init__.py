"""The samples of a segment → arrays: log-mel, MFCC, waveform, YAMNet, spectral statistics."""
