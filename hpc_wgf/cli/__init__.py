"""The command line. Whatever needs torch is imported by the command that needs it."""

from .app import app, main

__all__ = ["app", "main"]
