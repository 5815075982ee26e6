"""Tested Postfix configurations, rendered for the ports of one gateway. Nothing here reads or changes a Postfix."""
