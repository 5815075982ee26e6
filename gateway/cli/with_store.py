"""The store of a configuration, opened for one command. What is done with it is the command's business."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gateway.config.models import Config
    from gateway.store.store import Store

T = TypeVar("T")


async def with_store(config: Config, work: Callable[[Store], Awaitable[T]], what: str) -> T:
    """What `work` returns; the store is closed afterwards. `what` it reads stands in the error when it is not there."""
    from sqlalchemy.exc import DBAPIError

    from gateway.errors import StoreUnavailable
    from gateway.store.store import Store

    store = Store.open(config.store.url, busy_timeout_seconds=config.store.busy_timeout_seconds)
    try:
        return await work(store)
    except DBAPIError as error:
        cause = str(error.orig).strip().partition("\n")[0]
        raise StoreUnavailable(f"the store has no {what} to read: {cause}; run `stellwerk db upgrade`") from None
    finally:
        await asyncio.to_thread(store.close)


@contextmanager
def owned_by_workers(config: Config) -> Iterator[None]:
    """What root makes inside, the workers can write afterwards."""
    from gateway.supervisor.account import account_of_workers

    account = account_of_workers(config.server.user)
    try:
        yield
    finally:
        if account is not None:
            # Only here: it brings the whole gateway with it, and every command for the directory would wait for that.
            from gateway.checking import store_files

            for file in store_files(config.store.url):
                account.own(file)
