"""Many people or mailboxes at once: CSV files checked as a whole, then written in chunks that can be taken back."""
