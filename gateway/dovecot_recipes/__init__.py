"""Configuration of Dovecot for this gateway: `stellwerk dovecot recipe`."""
