"""Everything on one machine without containers: PostgreSQL, the three services, a demonstration."""
