"""Models: where their files come from, what is known about them, what runs them, and when they are loaded."""
