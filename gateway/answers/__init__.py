"""Automatic answers of mailboxes: who must never get one, how one is written, and the out-of-office text."""
