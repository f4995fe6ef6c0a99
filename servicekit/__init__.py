"""The runtime that the three services share. It knows no service."""
