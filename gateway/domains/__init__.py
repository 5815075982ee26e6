"""Domains: who proved which in DNS, what its DNS must say, and what it says now."""
