"""The command `trimem`."""

from trimem.client.cli.app import main

__all__ = ["main"]
