"""Work that is done after the reply: a durable outbox in the store, and the desk process that empties it."""
