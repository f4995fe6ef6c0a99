"""What the benchmarks are made of: models, texts, parties, load, and the printing of results."""
