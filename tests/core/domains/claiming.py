"""Claims and looks in a store, said briefly."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select

from gateway.directory.organisations import AddOrganisation
from gateway.directory.tables import domain, domain_token, organisation
from gateway.domains.claims import ClaimDomain
from gateway.domains.facts import Observation, Seen
from gateway.domains.looks import Recorded, RecordLook, Teller, record_look
from tests.core.directory.conftest import Kept

NAME = "customer.test"
OWNER = ("owner@elsewhere.test",)


async def claimed(kept: Kept, *organisations: str, name: str = NAME) -> None:
    """Each organisation claims the name; it is added where there is none."""
    for each in organisations:
        if not await kept.rows(select(organisation).where(organisation.c.name == each)):
            await kept.do(AddOrganisation(each))
        await kept.do(ClaimDomain(name, each, OWNER))


async def row(kept: Kept, whose: str, name: str = NAME) -> dict[str, Any]:
    """The claim of an organisation."""
    query = select(domain).join(organisation).where(and_(domain.c.name == name, organisation.c.name == whose))
    (found,) = await kept.rows(query)
    return found


async def state(kept: Kept, whose: str, name: str = NAME) -> str:
    return str((await row(kept, whose, name))["state"])


async def look(
    kept: Kept, whose: str, ownership: Seen, routing: Seen = "fail", *, sure: bool = True, tell: Teller | None = None,
    name: str = NAME,
) -> Recorded:  # fmt: skip
    """One look, a second later; the newest token is the one that is seen. `sure`: DNSSEC vouches for it."""
    kept.now += 1
    claim = await row(kept, whose, name)
    passed = ownership == "pass"
    seen = Observation(kept.now, ownership, routing, claim["token_issued_at"] if passed else 0.0, sure)
    asked = RecordLook(claim["id"], claim["version"], seen, claim["serial"] if passed else 0, tell=tell)
    return await record_look(kept.store, asked)


async def tokens(kept: Kept, whose: str) -> dict[int, tuple[bool, bool]]:
    """(used, revoked) by serial."""
    query = select(domain_token).join(organisation).where(organisation.c.name == whose)
    return {
        each["serial"]: (each["used_at"] is not None, each["revoked_at"] is not None)
        for each in await kept.rows(query.order_by(domain_token.c.serial))
    }
