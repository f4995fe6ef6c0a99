"""Text in, vectors out. Stateless: no database, no notion of an event."""
