"""Where events are kept: the interface, PostgreSQL, and a fake in memory."""
