"""Backup and restore of what only the gateway has: database and secret. Mail and configuration are not in it."""
