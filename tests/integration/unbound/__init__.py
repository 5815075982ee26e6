"""Checks of domains with a real validating resolver."""
