"""Numbers about the gateway: counted where things happen, told once a second by each process, shown by the desk."""
