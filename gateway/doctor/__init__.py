"""`stellwerk doctor`: what is right, doubtful or wrong about an installation, and what to do."""
