"""Google Cloud Storage on this machine: an emulator that all clients reach under Google's host names.

`gcp-storage-emulator` holds the objects. TensorFlow's gs:// has Google's hosts built in, but like Google's clients for
Python it obeys HTTPS_PROXY. So `front` is a proxy that accepts CONNECT for these hosts alone, ends the TLS connections
with the certificate of a throw-away authority, and answers the requests itself. `service` adds to the emulator what the
clients need of the real service, `faults` what goes wrong with that, and `access_log` what was asked.
"""
