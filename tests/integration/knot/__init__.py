"""Domains whose DNS a real knot serves, signs and lets be changed."""
