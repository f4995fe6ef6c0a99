"""What the store does, and the rules of it: no transport, no database, no driver in here."""
