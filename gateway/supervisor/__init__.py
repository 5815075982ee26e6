"""The process above the workers: sockets, privileges, generations. It imports no plugin and reads no mail.

`supervisor` is the story from start to stop; `generation` keeps worker slots filled; `child` is one worker process;
`sockets`, `state`, `account` and `systemd` are what it needs from the system; `description` is what a worker is told.
"""
