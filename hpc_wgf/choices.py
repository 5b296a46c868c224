"""Values by name that run files and constructors have in common. Nothing here needs torch."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """How the gradient of the energy F over the parameters is taken.

    Both agree in expectation only, and only the first lies in the range of the metric Ĝ.
    """

    FORCE = "force"
    """∇F = Jᵀf/n, J the derivative of the map over θ at n samples, f the force there."""
    ENERGY = "energy"
    """∇F differentiates the sample mean of the energy."""


class Solver(StrEnum):
    """The Krylov method that solves Ĝη = −∇F."""

    MINRES = "minres"
    """On Ĝ: one all-reduce a product."""
    LSMR = "lsmr"
    """On J itself, which keeps the true residual in single precision for one more all-reduce of a
    number. Force form only."""


class Preconditioning(StrEnum):
    """What the solves are preconditioned with."""

    AUTOMATIC = "automatic"
    """Dense for few parameters, else outputs where its blocks are small enough, else kronecker;
    none for many parameters that come in no layers (planar flows, modules), and in the energy
    form, whose noise a better solve would fit."""
    NONE = "none"
    """Plain iterations."""
    DENSE = "dense"
    """Ĝ of a subsample."""
    OUTPUTS = "outputs"
    """Diagonal blocks of Ĝ, one for each output coordinate with the hidden units that move it
    most."""
    KRONECKER = "kronecker"
    """Kronecker factors per layer."""
    NYSTROM = "nystrom"
    """A low-rank approximation of Ĝ."""


class Route(StrEnum):
    """How a sum over pairs of particles is taken."""

    AUTOMATIC = "automatic"
    """Moments where the kernel allows them, else all pairs, and batches for many particles."""
    MOMENTS = "moments"
    """Exact in O(n d²), for kernels of even powers only."""
    PAIRS = "pairs"
    """All pairs in O(n²/P), round the ring of P ranks."""
    BATCHES = "batches"
    """An unbiased estimate in O(n): its noise is in the force, and so in E|f|² and in the
    projection error."""


class Features(StrEnum):
    """Initial directions w of tanh features."""

    RANDOM = "random"
    """w ~ N(0, scale²I/d)."""
    AXIS = "axis"
    """`scale` along one coordinate each, in turn; a width that is a multiple of d serves all
    coordinates alike."""


class Precision(StrEnum):
    """Floating-point numbers of maps and samples."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"
