"""The errors a person can meet: what was found, where, what was expected, what to do. None is a traceback."""

from __future__ import annotations


class StellwerkError(Exception):
    """An expected failure whose text is shown to a person as it stands, on one line or a few.

    `exit_status` is what a command ends with: 1 a check failed or something is missing, 2 wrong usage or configuration.
    """

    exit_status = 1


class ConfigError(StellwerkError):
    """The configuration is wrong. `problems` holds every problem found, one rendered text each."""

    exit_status = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class PluginLoadError(ConfigError):
    """A plugin cannot be loaded. The text names file, plugin and cause."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


class StartupError(StellwerkError):
    """The gateway cannot start: a port in use, a database of the wrong revision, an unreadable spool."""


class StoreUnavailable(StellwerkError):
    """The store could not commit or read: full disk, locked or lost database. On the wire this is 451 4.3.0."""


class CommitUnknown(StoreUnavailable):
    """The store was lost while it committed: the unit may stand or not, and whoever brought it must live with both."""


class SpoolUnavailable(StellwerkError):
    """The spool could not take the message. On the wire this is 452 4.3.1 for one that `is_full`, else 451 4.3.0."""

    def __init__(self, problem: str, *, is_full: bool) -> None:
        super().__init__(problem)
        self.is_full = is_full
