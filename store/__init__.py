"""The store: owns PostgreSQL, its schema, and the truth about which model made which vector."""
