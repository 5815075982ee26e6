"""The desk's web server. A leaf: nothing of the core knows it, and mail does not depend on it."""
