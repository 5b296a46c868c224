"""Errors a user can act on: what was given, what was expected, what to do."""


class WgfError(Exception):
    """Base of all errors of this package."""


class InputError(WgfError, ValueError):
    """The request cannot be carried out as given; nothing has been computed or written."""


class RunError(WgfError, RuntimeError):
    """A run that had begun cannot go on; every committed row stays readable."""


class CommunicationError(WgfError, RuntimeError):
    """A collective failed because another rank is gone; the cause lies on that rank."""


class PlaceError(InputError):
    """What is asked for cannot be had on this node; it may be there on others."""


class StepFailed(Exception):
    """A step cannot be carried out as it was tried: a map has folded, a value is not finite, or a
    solve has failed. The same on all ranks; the message names the ranks. The time loop answers with
    a shorter step, or ends the run with a `RunError`."""
