"""The account that workers run under. Nothing here starts a process."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import StartupError


@dataclass(frozen=True, slots=True)
class Account:
    """A user with its groups, for processes that give up the supervisor's privileges."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def own(self, path: Path) -> None:
        """Give a file of root to this account; what somebody else owns is left as it is.

        A symbolic link is not followed: in a directory of the account itself it could lead to any file of root.
        """
        if path.lstat().st_uid == 0:
            os.lchown(path, self.uid, self.gid)

    def become(self) -> None:
        """Give up root for this account, for good."""
        os.setgroups(self.groups)
        os.setgid(self.gid)
        os.setuid(self.uid)


def account_of_workers(user: str) -> Account | None:
    """The account for `server.user`; None when workers keep that of the supervisor. Raises `StartupError`."""
    if not user or os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise StartupError(
            f'server.user = "{user}": there is no such user; create it with: useradd --system {user}'
        ) from None
    groups = tuple(os.getgrouplist(user, entry.pw_gid))
    return Account(user, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)
