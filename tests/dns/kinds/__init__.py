"""One module for each kind of case. `RUNNERS` is the table from the kind to what runs a case of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.dns.cases import Case
from tests.dns.kinds.dkim import run_dkim_key, run_dkim_record
from tests.dns.kinds.dmarc import run_dmarc_policy, run_dmarc_record
from tests.dns.kinds.lifecycle import run_claim, run_domain_name, run_lifecycle
from tests.dns.kinds.mail_domain import run_mail_domain
from tests.dns.kinds.mta_sts import run_mta_sts
from tests.dns.kinds.mx import run_mx
from tests.dns.kinds.ownership import run_ownership
from tests.dns.kinds.small_records import run_caa, run_dane, run_ptr, run_srv, run_tls_rpt
from tests.dns.kinds.spf import run_spf, run_spf_record

RUNNERS: dict[str, Callable[[Case], Awaitable[None]]] = {
    "caa": run_caa,
    "claim": run_claim,
    "dane": run_dane,
    "dkim_key": run_dkim_key,
    "dkim_record": run_dkim_record,
    "dmarc_policy": run_dmarc_policy,
    "dmarc_record": run_dmarc_record,
    "domain_name": run_domain_name,
    "lifecycle": run_lifecycle,
    "mail_domain": run_mail_domain,
    "mta_sts": run_mta_sts,
    "mx": run_mx,
    "ownership": run_ownership,
    "ptr": run_ptr,
    "spf": run_spf,
    "spf_record": run_spf_record,
    "srv": run_srv,
    "tls_rpt": run_tls_rpt,
}
