"""One module for each kind of case. `RUNNERS` is the table from the kind to what runs a case of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.dns.cases import Case
from tests.dns.kinds.mail_domain import run_mail_domain
from tests.dns.kinds.mx import run_mx
from tests.dns.kinds.ownership import run_ownership
from tests.dns.kinds.spf import run_spf, run_spf_record

RUNNERS: dict[str, Callable[[Case], Awaitable[None]]] = {
    "mail_domain": run_mail_domain,
    "mx": run_mx,
    "ownership": run_ownership,
    "spf": run_spf,
    "spf_record": run_spf_record,
}
