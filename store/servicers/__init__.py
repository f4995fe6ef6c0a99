"""From messages to dataclasses and back, and nothing else."""
