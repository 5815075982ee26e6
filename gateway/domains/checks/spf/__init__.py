"""SPF (RFC 7208): reading a record, evaluating it for an address, judging it for a domain, and the merged record."""
