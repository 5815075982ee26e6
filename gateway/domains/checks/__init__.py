"""Checks of a domain's DNS: one module for each family of records, typed results, and the sentences that tell them."""
