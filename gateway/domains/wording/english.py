"""The hand-out in English."""

WORDS = {
    "title": "DNS records for {domain}",
    "intro": (
        "{organisation} wants to receive and send the e-mail of {domain} through {gateway}. For that the records "
        "below must stand in the DNS of {domain}. You need no account with us, only the place where you edit the "
        "DNS."
    ),
    "grant": (
        "What you allow with it: {gateway} takes mail for {domain} on behalf of {organisation}. If you do not know "
        "{organisation}, or do not expect this, enter nothing."
    ),
    "grant_below": (
        "What you allow with it: {gateway} takes mail for {domain} and for every name below it, on behalf of "
        "{organisation}. If you do not know {organisation}, or do not expect this, enter nothing."
    ),
    "hold": "Somebody at {gateway} must agree to this domain as well; until then nothing happens.",
    "done": (
        "On {at} everything that is required was in place. Nothing is left to do; leave the records where they are."
    ),
    "better": (
        "On {at} the checks that are required passed. What is marked as to be entered, and what has to go, makes it "
        "complete."
    ),
    "missing": "What is still missing",
    "missing_how": "This was not yet in order on {at}:",
    "enter": "What to enter",
    "enter_how": (
        "Each line is one record. Names are relative to the zone {zone}: most panels add {zone} by themselves, so do "
        "not type it. @ stands for {zone} itself; some panels want that field empty. Host names stand here without "
        "the dot at their end, as panels want them; in a zone file it must be there."
    ),
    "enter_click": "One click selects a whole value.",
    "zone_guessed": "DNS did not tell which zone holds {domain}; {zone} is a guess.",
    "name": "Name",
    "type": "Type",
    "priority": "Priority",
    "value": "Value",
    "ttl": "TTL",
    "why": "Why",
    "required": "required",
    "advised": "advised",
    "there": "in place",
    "to_enter": "to be entered",
    "why_ownership": "Shows that {domain} is yours. Leave it there: it keeps the domain yours.",
    "why_mx": "Brings the mail of {domain} to {gateway}.",
    "why_spf": (
        "Says that the gateway may send mail of {domain}; what your record allows already is kept. There must be "
        "one record that begins with v=spf1."
    ),
    "why_dmarc": "Asks receivers for reports, and changes nothing else yet.",
    "why_srv": "Lets mail programs find the server by themselves.",
    "remove": "What has to go",
    "remove_how": "These records stand in DNS now. Remove them when you enter the new ones, and no others.",
    "gone_mx": "With it, mail goes past the gateway. If it still leads to where you read your mail, ask first.",
    "gone_spf": "The new record takes its place; with two, none counts.",
    "seen": "What we saw besides",
    "seen_how": "Written on {at}. It may have changed since.",
    "check_ownership": "Key",
    "check_mx": "MX",
    "check_spf": "SPF",
    "check_dmarc": "DMARC",
    "check_srv": "Services",
    "status_pass": "in order",
    "status_warn": "works, could be better",
    "status_fail": "missing or wrong",
    "status_temp": "not known",
    "see": "See it yourself",
    "see_how": (
        "These commands ask the DNS, without an account. Below each stands what it prints once the record is in "
        "place; the order of lines does not matter, nor into how many quoted pieces a long text is cut."
    ),
    "expected": "Expected answer:",
    "lasts": (
        "{name} {type}: whoever asked on {asked} may see the old answer until {until} (TTL {ttl} s). That is no "
        "mistake of yours; the servers of the zone know the new one at once."
    ),
    "then": (
        "Then you are done: the gateway looks by itself, at the latest after six hours, and whoever sent you this can "
        "have it look at once. Without DNSSEC it wants to see the key twice, a minute apart."
    ),
    "kept": "Values are to be kept exactly as they are. None of them is secret.",
}
