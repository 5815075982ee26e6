"""`stellwerk demo`: a throw-away gateway and a walk through what it does. A scene a file, in `scenes`."""
