"""The same API as HTTP/JSON, from the `google.api.http` annotations of the protos."""
