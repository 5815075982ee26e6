"""Who gets a message: what hooks answer (`route`), how it is expanded (`resolver`), and the result (`plan`)."""
