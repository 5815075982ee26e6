"""What a message, its envelope and its replies are. Pure values: no aiosmtpd, no database, no asyncio here."""
