"""A pipeline and its runner's settings → a finished run: in this process, on Dask, on Dataflow or on a job server."""
