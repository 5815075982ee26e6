"""Who has a mailbox here."""
