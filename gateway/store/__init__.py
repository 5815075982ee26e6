"""The store: what the gateway must remember, on SQLite or PostgreSQL. Nothing about mail is decided here."""
