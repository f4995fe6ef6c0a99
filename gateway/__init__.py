"""The one door to Trimem: gRPC passed through, the same API as HTTP/JSON. No state, no SQL, no model."""
