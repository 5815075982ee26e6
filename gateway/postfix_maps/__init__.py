"""What Postfix asks about recipients, domains and senders: answered live by a socketmap, or written to files."""
