"""The last module that the process of `forked_process` imports: its processes do not look for garbage among them."""

import gc

gc.collect()
gc.freeze()
