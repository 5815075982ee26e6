"""The sentences of the checks in English. Keys: reason, reason.variant, and either with :check behind it."""

PHRASES = {
    "asked": "We asked {servers} for {type} at {name} on {time} and got {answer}.",
    "found": "{texts}",
    "and": " and ",
    "resolver": "our resolver",
    "nothing": "no usable answer ({trouble})",
    "nxdomain": "the answer that there is no such name (NXDOMAIN)",
    "nodata": "the answer that there is no such record",
}

_DNS_LATER = "Nothing is known now, nothing changes, and we look again by ourselves. Details: {detail}."

SENTENCES = {
    "ok": "All is as it should be.",
    "ok:ownership": "The key is in place: the domain is proven. Leave the record where it is.",
    "ok:mx": "Mail for {domain} comes to this gateway.",
    "ok:spf": "This gateway may send for {domain}.",
    "ok:dkim": "The key of this gateway is published.",
    "ok:dmarc": "The policy is in force, and its reports go to somebody.",
    "ok:mta_sts": "The policy is in force and lists every mail host of {domain}.",
    "ok:tls_rpt": "Senders know where to report failed encryption.",
    "ok:dane": "The record fits the key of {host}, and both zones are signed.",
    "ok:ptr": "The name leads back to {address} and is the one that the gateway greets with.",
    "ok:host": "The gateway's name has addresses of both kinds and may send.",
    "ok:srv": "Mail programs find the service.",
    "ok:caa": "{ca} may issue a certificate for {name}.",
    "ok:dnssec": "The zone is signed and valid.",
    "domain_nxdomain": (
        "The domain {domain} itself is not in the DNS. Is it spelt rightly? Has its registration lapsed, or is it not "
        "registered yet? Once it exists, enter the records."
    ),
    "misplaced_apex": (
        "Your key is there, but at {domain} itself. In your panel the name field must be {label}, not empty and not "
        "@; the value stays {record}"
    ),
    "misplaced_apex:dmarc": (
        "The DMARC record is there, but at {domain} itself, where nobody looks. In your panel the name field must be "
        "{label}, not empty and not @."
    ),
    "misplaced_doubled_suffix": (
        "Your key is there, but at {found_at}: your panel appended the domain a second time. Type only {label} into "
        "the name field, without {domain} behind it (or type {name}. with a dot at the very end)."
    ),
    "misplaced_doubled_suffix:dkim": (
        "The DKIM key is there, but at {found_at}: your panel appended the domain a second time. Type only {label} "
        "into the name field, without {domain} behind it."
    ),
    "misplaced_doubled_suffix:dmarc": (
        "The DMARC record is there, but at {found_at}: your panel appended the domain a second time. Type only "
        "{label} into the name field, without {domain} behind it."
    ),
    "misplaced_no_underscore": (
        "Your key is there, but at {found_at}: the underscore at the beginning is missing. Type {label} into the name "
        "field, with the underscore. If the panel refuses underscores, it must be told that this is a TXT record."
    ),
    "authoritative_disagree": (
        "The servers of {domain} do not agree yet: some have the new records, some have not. This settles itself when "
        "they have copied the zone; if it lasts for more than a few hours, ask whoever runs them. Nothing changes "
        "until they agree."
    ),
    "resolver_disagree": (
        "Two resolvers see different answers for {domain}. Nothing changes until they agree; we look again by "
        "ourselves."
    ),
    "resolver_behind": (
        "The servers of {domain} have the new records already; our resolver still remembers the answer from before, "
        "for at most {seconds} seconds. Nothing is to be done; we look again by ourselves."
    ),
    "dns_timeout": "The servers did not answer in time. " + _DNS_LATER,
    "dns_servfail": "The resolver could not get an answer (SERVFAIL). " + _DNS_LATER,
    "dns_bogus": (
        "The answer does not stand up to DNSSEC: the signatures of the zone are wrong or expired. Whoever runs the "
        "zone "
        "must sign it anew or take the DS record out at the registrar. " + _DNS_LATER
    ),
    "dns_refused": (
        "The server refused to answer (REFUSED): it does not seem to know the zone. Whoever runs it should look. "
        + _DNS_LATER
    ),
    "dns_rcode": "The server answered with an error. " + _DNS_LATER,
    "dns_unreachable": "No server could be reached. " + _DNS_LATER,
    "dns_malformed": "The server sent something that is no DNS answer. " + _DNS_LATER,
    "dns_lame": "The server only pointed to other servers, although it should know the zone. " + _DNS_LATER,
    "dns_loop": "The names are aliases (CNAME) of each other in a circle. Remove one of these CNAME records. "
    + _DNS_LATER,
    "dns_budget": "This check would have needed too many queries and stopped. " + _DNS_LATER,
    "dns_busy": "Too many look-ups were under way. " + _DNS_LATER,
    "dns_closed": "The gateway was being stopped. " + _DNS_LATER,
    "not_settled": "{type} of {name} could not be looked up. Nothing is known now, nothing changes, and we look again.",
    # ownership
    "token_missing": (
        "The key is not there. Enter a record of the type TXT with the name {label} and the value {record}. It may "
        "take some minutes until it is seen."
    ),
    "token_mismatch": (
        "There is a record, but with another value: {found}. We look for {record} - the whole of it. This may be an "
        "older key, or a part is missing: replace it."
    ),
    "token_revoked": (
        "The record holds a key that was withdrawn: {found}. It cannot be used again. Replace it with {record}"
    ),
    "token_other_account": (
        "The record holds a key that was given to another account: {found}. If this domain is yours, replace it with "
        "{record}"
    ),
    "token_other_domain": (
        "The record holds the key of another of your domains: {found}. Each domain has its own. Replace it with "
        "{record}"
    ),
    "wrong_gateway": (
        "The record names another gateway: {found}. If you did not enter it for that one, somebody may have given you "
        "our key as theirs. For this gateway the value is {record}"
    ),
    "extra_quotes": (
        "The key is in place, with quotation marks that your panel took as a part of it. It counts all the same; "
        "leave them out next time."
    ),
    "token_by_wildcard": (
        "The key is seen, but it comes from a wildcard (*.{domain}). It counts; better enter it under the name "
        "{label} itself."
    ),
    "by_parent": "{domain} is proven by {parent}, whose key holds for all names below it. Nothing is to be done.",
    "public_suffix": (
        "{domain} is a public suffix, below which everybody registers names: nobody can own it. Claim the domain "
        "below it that is yours."
    ),
    "private_suffix": (
        "{domain} is a name below which others have their own domains. The operator of this gateway must agree first; "
        "nothing is to be done in the DNS."
    ),
    "parent_owned_by_other": (
        "A domain above {domain} belongs to another account, with all names below it. Its holder or the operator must "
        "agree first; nothing is to be done in the DNS."
    ),
    "second_observation": "The key is there. We look a second time after a minute, and then the domain is proven.",
    # mx
    "mx_missing": "{domain} has no MX record, so no mail comes here. Enter, of the type MX: {wanted}",
    "mx_partial": (
        "Mail comes here, but not all our mail hosts are named: {lacking} is missing. Enter it, too: {wanted}"
    ),
    "foreign_backup": (
        "Mail comes here first, but {other} is named as well. What is delivered there goes past the gateway, and "
        "spammers like such hosts. Remove it, so that only these are left: {wanted}"
    ),
    "foreign_equal": (
        "Mail for {domain} goes to {other} as often as to this gateway, because both have the same number. Remove it, "
        "so that only these are left: {wanted}"
    ),
    "not_primary": (
        "Mail for {domain} goes to {other} first; the gateway only gets what that host refuses. Remove it, so that "
        "only these are left: {wanted}"
    ),
    "mx_missing_dot": (
        "The MX is {other}: your panel appended {zone}, because the name had no dot at its end. Type {typed}. with a "
        "dot at the end; if the panel does not take the dot, choose a full (absolute) host name there."
    ),
    "mx_is_ip": ("The MX is {other}, which is an address; mail hosts are given by name. Type a name instead: {wanted}"),
    "null_mx": (
        "The MX record is a single dot, which says that {domain} takes no mail at all (RFC 7505). Replace it with: "
        "{wanted}"
    ),
    "null_mx_mixed": (
        "One MX record is a single dot, which says that {domain} takes no mail, and others name hosts; senders choose "
        "one or the other. Remove the one with the dot, so that these are left: {wanted}"
    ),
    "implicit_mx": (
        "{domain} has no MX record; mail comes here only because its address is ours. That ends when the website "
        "moves. Enter, of the type MX: {wanted}"
    ),
    "vanity_mx": (
        "The MX is {other}, another name for our addresses. Mail comes here until our addresses change. Better: "
        "{wanted}"
    ),
    "vanity_mx_foreign_ip": (
        "The MX is {other}, and only some of its addresses are ours: part of the mail goes elsewhere. Replace it "
        "with: {wanted}"
    ),
    "mx_target_alias": (
        "The MX is {other}, an alias (CNAME) of our host. Some senders do not follow it (RFC 2181 10.3). Better: "
        "{wanted}"
    ),
    "mx_target_missing": (
        "The MX is {other}, and there is no such host: no mail can arrive. Is it spelt rightly? It should be: {wanted}"
    ),
    "mx_elsewhere": "Mail for {domain} goes to {other}, not here. Replace the MX records with: {wanted}",
    "cname_at_domain": (
        "{domain} is an alias (CNAME) of {alias}, and the MX records stand there: whoever runs that name decides "
        "about your mail. Better replace the CNAME and enter the MX at {domain} itself: {wanted}"
    ),
    "wildcard_mx": (
        "The MX records come from a wildcard (*.{parent}): every mistyped name below {parent} sends its mail here as "
        "well. Better enter them at {domain} itself: {wanted}"
    ),
    # spf
    "spf_missing": (
        "{domain} has no SPF record. Mail is received all the same, but what you send may be taken for a forgery. "
        "Enter a TXT record at {domain}: {merged}"
    ),
    "spf_missing.spoilt": (
        "There is text that was meant as SPF: {found}. It does not begin with v=spf1, because there is a space or a "
        "quotation mark before it, so nobody takes it for one. Replace it with: {merged}"
    ),
    "spf_missing.type99": (
        "The SPF record is of the type SPF, which nobody reads any more. Enter it as TXT at {domain}: {merged}"
    ),
    "spf_multiple": (
        "{domain} has more than one SPF record: {found}. Only one is allowed, and receivers treat two as an error. "
        "Delete them all and enter this one instead: {merged}"
    ),
    "spf_syntax": (
        "The SPF record has a mistake, so receivers discard all of it: {term} ({detail}). Replace the record with: "
        "{merged}"
    ),
    "spf_too_many_lookups": (
        "The SPF record causes {count} DNS look-ups, and 10 are allowed; receivers discard it. Remove an include: "
        "that is no longer needed, or replace it by ip4: and ip6:. With this gateway it is: {merged}"
    ),
    "spf_too_many_void": (
        "The SPF record names more than two hosts that do not exist ({detail}); receivers discard it. Remove them. "
        "With this gateway it is: {merged}"
    ),
    "spf_plus_all": (
        "The SPF record ends with +all, which lets everybody send for {domain}. Replace it with: {merged}"
    ),
    "spf_gateway_not_allowed": (
        "The SPF record does not name this gateway: mail from {address} would be taken for a forgery. Replace it "
        "with: {merged}"
    ),
    "spf_ptr": "The SPF record uses ptr, which is slow and which receivers ignore. Replace it with: {merged}",
    "spf_no_all": (
        "The SPF record does not say what is with all other senders, so it forbids nothing. Replace it with: {merged}"
    ),
    "spf_near_limit": (
        "The SPF record causes {count} DNS look-ups of the 10 that are allowed. It holds now; one more service and it "
        "breaks. Remove an include: that is no longer needed."
    ),
    # dkim
    "dkim_missing": "The DKIM key is not there. Enter a TXT record with the name {label} and the value {record}",
    "dkim_missing.cname": (
        "The DKIM key is not there. Enter a record of the type CNAME with the name {label} and the target {cname}."
    ),
    "dkim_mismatch": (
        "There is another key than the one that this gateway signs with. Replace the record at {label} with: {record}"
    ),
    "dkim_truncated": (
        "The key stops in the middle: your panel cut the value after 255 characters. Type it as several strings in "
        "quotation marks, one behind the other: {split}"
    ),
    "dkim_truncated.cname": (
        "The key stops in the middle: your panel cut the value after 255 characters. Delete the TXT record and use a "
        "CNAME instead: name {label}, target {cname}."
    ),
    "dkim_testing": (
        "The key is marked as a test (t=y), so receivers treat signed mail like unsigned. Remove t=y: {record}"
    ),
    "dkim_hash": "The record allows only sha1 (h=sha1), which nobody accepts any more. Remove h=sha1: {record}",
    "dkim_multiple": (
        "There are several TXT records at {name}: {found}. Receivers take any of them. Delete them and enter one: "
        "{record}"
    ),
    "dkim_revoked": "The key is empty (p=), which means that it was withdrawn. Enter: {record}",
    "dkim_syntax": "The record is no DKIM key ({detail}). Replace it with: {record}",
    "dkim_syntax.escaped": (
        "There are backslashes before the semicolons: your panel adds them itself, or wants none. Type the value "
        "without them: {record}"
    ),
    # dmarc
    "dmarc_missing": "{domain} has no DMARC record. Enter a TXT record with the name {label} and the value {record}",
    "dmarc_inherited": "The policy of {parent} holds for {domain}, too: {policy}.",
    "dmarc_multiple": (
        "There are several DMARC records: {found}. Receivers then discard all of them. Keep one and delete the others."
    ),
    "dmarc_syntax": "The DMARC record has a mistake ({detail}), so receivers discard it: {found}. Correct it.",
    "dmarc_syntax.version": (
        "The record does not begin with v=DMARC1 in exactly these letters, so receivers discard it: {found}. Put it "
        "first, like this: {record}"
    ),
    "dmarc_none": (
        "The policy is none: reports are sent, forgeries are delivered. That is the right beginning; when SPF and "
        "DKIM have passed for 14 days of reports, go on to p=quarantine."
    ),
    "dmarc_test_mode": (
        "The policy is only being tested (t=y) and is not applied. Remove t=y when the reports are good."
    ),
    "dmarc_no_p": (
        "The record has no p=. Newer receivers read that as p=none, older ones discard the record. Add p=none."
    ),
    "dmarc_no_rua": (
        "The record names nobody for reports (rua=), so you do not see what is refused. Add rua=mailto: and an address."
    ),
    "dmarc_sp_none": (
        "Names below {domain} are exempt (sp=none): anybody can forge them. Remove sp=none when their mail is in order."
    ),
    "dmarc_removed_tag": (
        "The record uses {detail}, which the present standard (RFC 9989) no longer knows: receivers ignore it. Remove "
        "it."
    ),
    "dmarc_rua_not_authorised": (
        "The reports go to {other}, which has not agreed to take them. Whoever runs {other} must enter a TXT record "
        "at {wanted} with the value v=DMARC1, or choose an address in {domain}."
    ),
    # mta-sts
    "sts_missing": (
        "{domain} has no MTA-STS. Mail comes all the same, but an attacker on the way can switch encryption off. It "
        "is optional."
    ),
    "sts_missing.served": (
        "There is a policy at {url}, but the TXT record at {name} is missing, so nobody looks at it. Enter it: "
        "v=STSv1; id=1"
    ),
    "sts_multiple": "There are several records at {name}: {found}. Senders then take none. Keep one.",
    "sts_syntax": (
        "The record at {name} has a mistake ({detail}), so senders ignore it. It must read like v=STSv1; id=20260131 "
        "(letters and digits only)."
    ),
    "sts_fetch": "The record promises a policy, but {url} does not give it ({detail}). Put the file there.",
    "sts_fetch_temporary": (
        "The policy at {url} could not be fetched now ({detail}). If it stays so, the web server must be looked at; "
        "we look again by ourselves."
    ),
    "sts_redirect": (
        "{url} redirects elsewhere ({detail}), and senders must not follow. The file must be given at this very "
        "address."
    ),
    "sts_certificate": (
        "The web server's certificate for {url} is not valid ({detail}), so senders do not take the policy. Renew it, "
        "for the name mta-sts.{domain}."
    ),
    "sts_policy_syntax": "The policy at {url} has a mistake: {detail}. Correct the file, and then change id=.",
    "sts_none": "The policy says mode: none, which switches MTA-STS off.",
    "sts_testing": (
        "The policy is being tested (mode: testing): failures are only reported. When the reports are good, write "
        "mode: enforce and change id=."
    ),
    "sts_mx_mismatch": (
        "The policy (mode {mode}, remembered by senders for {days} days) does not list {lacking}: senders that honour "
        "it refuse that host. Add a line mx: for each mail host, and change id=."
    ),
    "sts_short_max_age": (
        "The policy is remembered for {seconds} seconds only, which protects little. Write max_age: 1209600 (14 days)."
    ),
    "sts_id_stale": (
        "The policy has changed, but id= in the record has not ({id}): senders keep the old one. Change id= at {name}."
    ),
    # tls reports
    "tlsrpt_missing": (
        "Senders do not know where to report failed encryption. Enter a TXT record with the name {label} and the "
        "value {record}"
    ),
    "tlsrpt_multiple": "There are several records at {name}: {found}. Senders then take none. Keep one.",
    "tlsrpt_syntax": "The record at {name} has a mistake ({detail}): {found}. It must read like {record}",
    # dane
    "dane_missing": "{host} has no TLSA record. It is optional; with it senders cannot be led astray: {record}",
    "dane_insecure": (
        "There is a TLSA record, but its zone is not proven by DNSSEC, so it has no effect. Sign the zone."
    ),
    "dane_mx_insecure": (
        "The record of {host} is in order, but {domain} is not signed with DNSSEC, so senders do not use it for this "
        "domain. Switch DNSSEC on at the registrar."
    ),
    "dane_unusable": (
        "The TLSA record has the usage {usage}, which is not used for mail (RFC 7672 3.1.3). Enter: {record}"
    ),
    "dane_other_form": (
        "The TLSA records are of a form that this check cannot compare with our key. Enter one as well that it can: "
        "{record}"
    ),
    "dane_mismatch": (
        "No TLSA record of {host} fits its key: senders that use DANE deliver nothing until this is mended. Enter at "
        "once: {record}"
    ),
    "dane_servfail": (
        "The TLSA record of {host} can neither be had nor be proven absent (SERVFAIL): senders that use DANE deliver "
        "nothing until this is mended. Whoever runs the zone must look at its signatures."
    ),
    # the rest
    "ptr_missing": (
        "{address} has no reverse name; many receivers refuse its mail. Whoever gave you the address (the provider) "
        "must enter {helo} as its PTR."
    ),
    "ptr_unconfirmed": (
        "The reverse name of {address} is {found}, but that name does not lead back to {address}. Enter an A or AAAA "
        "record there, or let the provider set the PTR to {helo}."
    ),
    "ptr_differs": (
        "The reverse name of {address} is {found}, and the gateway greets with {helo}. Most receivers take it; better "
        "let the provider set the PTR to {helo}."
    ),
    "host_missing": (
        "The gateway greets with {name}, and that name has no address. Enter A and AAAA records for it, or greet with "
        "another name (server.hostname)."
    ),
    "host_spf_missing": (
        "{name} has no SPF record. Bounces have no other sender than this name, so some receivers doubt them. Enter a "
        "TXT record at {name}: {record}"
    ),
    "host_spf_fails": (
        "The SPF record of {name} does not let {address} send ({detail}), so bounces are refused. Replace it with: "
        "{record}"
    ),
    "host_one_kind": "{name} has addresses of one kind only ({found}); with IPv4 and IPv6 everybody reaches it.",
    "srv_missing": "Mail programs do not find the service by themselves. Enter an SRV record {label}: {record}",
    "srv_wrong": "The SRV record leads elsewhere: {found}. Replace it with {record}",
    "caa_blocks": (
        "The CAA record at {found_at} does not let {ca} issue a certificate for {name}: {found}. Add: {record}"
    ),
    "dnssec_unsigned": "{domain} is not signed with DNSSEC. It is optional; your registrar or DNS provider can do it.",
    "dnssec_bogus": (
        "The signatures of {domain} are wrong or expired: resolvers that check them do not see the domain at all, and "
        "mail from there does not arrive. Sign it anew, or take the DS record out at the registrar. Details: {detail}."
    ),
    "dnssec_not_judged": (
        "Whether {domain} is signed cannot be said here: that takes a validating resolver on the gateway's own machine."
    ),
}
