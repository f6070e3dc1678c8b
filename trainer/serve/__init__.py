"""A run or an export → an HTTP service that predicts the genres of uploaded files: `beamtune serve`."""
