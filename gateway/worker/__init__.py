"""One worker process: `python -m gateway.worker`."""
