"""Errors on which a user can act: each says what was given, what is expected, and what to do."""


class WgfError(Exception):
    """Base class of the errors that the package reports to its user."""


class InputError(WgfError, ValueError):
    """The input is invalid. Raised before anything is computed or written."""


class RunError(WgfError, RuntimeError):
    """A run that has begun cannot continue. Every row already committed to the store stays
    readable."""


class CommunicationError(WgfError, RuntimeError):
    """A collective operation failed because another rank has ended. The cause is to be sought in
    the messages of that rank."""


class PlaceError(InputError):
    """The resources of this node, as its number of GPUs, do not allow what was asked for. Other
    nodes may differ."""


class MissingRankError(InputError):
    """Rank 0, which speaks for all before ranks can communicate, was not met."""


class StepFailed(Exception):
    """A trial step has failed: det ∇T ≤ 0 at a sample (the map has folded), a value is not finite,
    or a linear solve did not converge.

    It is raised on all ranks alike. The time loop catches it and tries a shorter step, or ends the
    run with a `RunError`."""
