"""The OpenAPI document of the HTTP side, made of the same descriptors that serve it, and a page that shows it."""
