"""Embeddings in the shape of OpenAI's API, for the clients that speak it."""
