"""The command line. torch takes seconds to import: only the commands that need it import it."""

from .app import app, main

__all__ = ["app", "main"]
