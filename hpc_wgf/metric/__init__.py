"""The pullback metric Ĝ as a linear operator, and its preconditioners, made from few samples."""

from .choice import (
    PreconditionerBuild,
    build,
    build_for,
    default_preconditioner,
    subsample_size,
)
from .feature_gram import MOST_FEATURES, FeatureGram, features_of
from .gradient_gram import GradientGram, gradient_features
from .gram import GramOperator
from .preconditioner import Preconditioner
from .rows import JacobianRows
from .standing import StandingGram
from .subsample import Subsample

__all__ = [
    "MOST_FEATURES",
    "FeatureGram",
    "GradientGram",
    "GramOperator",
    "JacobianRows",
    "Preconditioner",
    "PreconditionerBuild",
    "StandingGram",
    "Subsample",
    "build",
    "build_for",
    "default_preconditioner",
    "features_of",
    "gradient_features",
    "subsample_size",
]
