"""DNS: look-ups with definite answers, and what they mean for a mail domain. No other package sends DNS queries."""
