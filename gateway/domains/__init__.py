"""Domains that their owners prove in DNS: who may claim one, what its state is, and what becomes of it."""
