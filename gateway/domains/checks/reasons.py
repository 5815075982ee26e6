"""Every code that a check can end with. They are stable: pages, notices and scripts rely on them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from gateway.dns.answers import Trouble

Reason: TypeAlias = Literal[
    # any check
    "ok", "domain_nxdomain", "misplaced_apex", "misplaced_doubled_suffix", "misplaced_no_underscore",
    "authoritative_disagree", "resolver_disagree", "resolver_behind", "dns_timeout", "dns_servfail", "dns_bogus",
    "dns_refused", "dns_rcode", "dns_unreachable", "dns_malformed", "dns_lame", "dns_loop", "dns_budget", "dns_busy",
    "dns_closed", "not_settled",
    # ownership
    "token_missing", "token_mismatch", "token_revoked", "token_other_account", "token_other_domain", "wrong_gateway",
    "extra_quotes", "token_by_wildcard", "by_parent", "public_suffix", "private_suffix", "parent_owned_by_other",
    "second_observation",
    # mx
    "mx_missing", "mx_partial", "foreign_backup", "foreign_equal", "not_primary", "mx_missing_dot", "mx_is_ip",
    "null_mx", "null_mx_mixed", "implicit_mx", "vanity_mx", "vanity_mx_foreign_ip", "mx_target_alias",
    "mx_target_missing", "mx_elsewhere", "cname_at_domain", "wildcard_mx",
    # spf
    "spf_missing", "spf_multiple", "spf_syntax", "spf_too_many_lookups", "spf_too_many_void", "spf_plus_all",
    "spf_gateway_not_allowed", "spf_ptr", "spf_no_all", "spf_near_limit",
    # dkim
    "dkim_missing", "dkim_mismatch", "dkim_truncated", "dkim_testing", "dkim_hash", "dkim_multiple", "dkim_revoked",
    "dkim_syntax",
    # dmarc
    "dmarc_missing", "dmarc_inherited", "dmarc_multiple", "dmarc_syntax", "dmarc_none", "dmarc_test_mode",
    "dmarc_no_p", "dmarc_no_rua", "dmarc_sp_none", "dmarc_removed_tag", "dmarc_rua_not_authorised",
    # mta-sts
    "sts_missing", "sts_multiple", "sts_syntax", "sts_fetch", "sts_redirect", "sts_certificate", "sts_policy_syntax",
    "sts_none", "sts_testing", "sts_mx_mismatch", "sts_short_max_age", "sts_id_stale", "sts_fetch_temporary",
    # tls reports
    "tlsrpt_missing", "tlsrpt_multiple", "tlsrpt_syntax",
    # dane
    "dane_missing", "dane_insecure", "dane_mx_insecure", "dane_unusable", "dane_other_form", "dane_mismatch",
    "dane_servfail",
    # the rest
    "ptr_missing", "ptr_unconfirmed", "ptr_differs", "srv_missing", "srv_wrong", "caa_blocks", "dnssec_unsigned",
    "dnssec_bogus", "dnssec_not_judged", "host_missing", "host_spf_missing", "host_spf_fails", "host_one_kind",
]  # fmt: skip

ALL_REASONS: tuple[Reason, ...] = get_args(Reason)

_OF_TROUBLE: dict[Trouble, Reason] = {
    Trouble.TIMEOUT: "dns_timeout",
    Trouble.SERVFAIL: "dns_servfail",
    Trouble.BOGUS: "dns_bogus",
    Trouble.REFUSED: "dns_refused",
    Trouble.RCODE: "dns_rcode",
    Trouble.UNREACHABLE: "dns_unreachable",
    Trouble.MALFORMED: "dns_malformed",
    Trouble.LAME: "dns_lame",
    Trouble.LOOP: "dns_loop",
    Trouble.BUDGET: "dns_budget",
    Trouble.BUSY: "dns_busy",
    Trouble.CLOSED: "dns_closed",
}


def reason_of(trouble: Trouble) -> Reason:
    """The code of a look-up that taught nothing."""
    return _OF_TROUBLE[trouble]
