"""How much callers may do: token buckets, and what is counted."""
