"""Checks of a domain's DNS: one module for each family of records, typed results, and the sentences that tell them.

`domain.check_domain` runs them all; `result.Result` is what each gives; `texts.sentence` says it in words.
"""
