"""`stellwerk doctor`: checks the whole installation. Exit status 1 when a check failed."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import click

from gateway.cli.options import config_option, json_option, read_config
from gateway.cli.output import print_json, print_table


@click.command()
@config_option
@json_option
def doctor(config_path: Path, as_json: bool) -> None:
    """Check the whole installation: configuration, state, free space, store, ports, next hops, DNS, clock.

    Each line that is not "ok" says what to do. Exit status 1 when a check failed; warnings do not count.
    Nothing is made or changed. Started by root, it looks with the rights of server.user.
    """
    config = read_config(config_path)
    # Imported only now, since a wrong configuration should be told at once.
    from gateway.doctor.certificates import certificate_findings
    from gateway.doctor.checks import become_workers_user, examine

    # What a check finds is its own line; the log's would stand between them.
    logging.getLogger().addHandler(logging.NullHandler())
    certificates = list(certificate_findings(config))  # the keys may be for root only
    become_workers_user(config)
    findings = asyncio.run(examine(config, certificates))
    failed = sum(finding.status == "failed" for finding in findings)
    if as_json:
        print_json([finding.to_json() for finding in findings])
    else:
        print_table(("status", "check", "finding"), [(one.status, one.check, one.text) for one in findings])
    sys.exit(1 if failed else 0)
