"""What every push-forward map provides: images, volumes, scores and linearisations.

With x = T_θ(z) and λ the density of z, the density of x and its score are
    log ρ(x) = log λ(z) − log|det ∇T(z)|,   s(x) = ∇T(z)^{-T} [∇ log λ(z) − ∇_z log|det ∇T(z)|]
[PWGF §3]. Every map evaluates its own factors; a `Composition` applies the formulas map by map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..kinds import check_whole
from .chunk import Workspace
from .frame import Frame
from .linear import LinearFeatures
from .linearization import Linearization, Linearizer

_CACHED = 1 << 16  # Activations of one layer, half a MiB in float64, stay in a core's cache.


class Transported(NamedTuple):
    """Images of n samples z under a map T, with changes of volume and, if asked for, scores."""

    x: Tensor
    """T(z), (n, d)."""
    log_det: Tensor
    """log|det ∇T(z)|, (n,)."""
    positive: Tensor
    """Whether det ∇T(z) > 0 in every layer of the map, (n,) bool; elsewhere the map has folded."""
    score: Tensor | None
    """The score at x, ∇T^{-T}(s − ∇ log|det ∇T|), (n, d), s the score at z; None without s."""


Transport = Callable[[Tensor, Tensor | None], Transported]
"""(z, score) ↦ their image, as `PushForward.transport`."""


class PushForward(nn.Module, ABC):
    """A map T_θ: ℝᵈ → ℝᵈ that is exactly the identity at its initial parameters.

    A user's own module may be another map at the start; `solve` refuses it then.

    Errors: `InputError` for a dimension below 1.
    """

    dimension: int
    """d."""
    coordinates_alone: bool = False
    """Whether T_j(x) depends on x_j alone for every j and θ."""
    fold_remedy: str = ""
    """What else is to be tried where a sample counts as folded, beside what helps with any map."""

    @property
    def evaluations(self) -> int:
        """How many times each weight acts on a sample, and about so many times the operations of a
        product."""
        return 1

    def __init__(self, dimension: int) -> None:
        super().__init__()
        check_whole(dimension, "the dimension of a map")
        if dimension < 1:
            raise InputError(f"a map needs a dimension of at least 1, got {dimension}")
        self.dimension = dimension

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """T(z): (n, d) → (n, d)."""

    @abstractmethod
    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        """T(z), log|det ∇T(z)| and, where `score` is given, the score at T(z).

        z: (n, d), samples of a density. `score`: the score of that density at z, (n, d). Without
        it the result is differentiable in θ and z.
        """

    def transporter(self) -> Transport:
        """`transport` at the present parameters, to be called for chunk after chunk: what depends
        on θ alone, as the factors of a matrix, is found once."""
        return self.transport

    @torch.no_grad()
    def transport_chunks(
        self, chunks: Sequence[Tensor], scores: Sequence[Tensor] | None = None
    ) -> list[Transported]:
        """`transport` of several chunks of samples, (n_chunk, d) each, and of their `scores`.

        The results are views of tensors for all chunks together, which are allocated beforehand.
        Results allocated one by one would fragment the memory that large temporary tensors leave
        free, and the process would grow severalfold.
        """
        transport = self.transporter()
        if len(chunks) == 1:
            return [_owned(transport(chunks[0], None if scores is None else scores[0]))]
        total = sum(map(len, chunks))
        x, carried = (chunks[0].new_empty(total, self.dimension) for _ in range(2))
        log_det, positive = x.new_empty(total), x.new_empty(total, dtype=torch.bool)
        images: list[Transported] = []
        end = 0
        for k, z in enumerate(chunks):
            span = slice(end, end := end + len(z))
            image = transport(z, None if scores is None else scores[k])
            score = None if image.score is None else carried[span].copy_(image.score)
            images.append(
                Transported(
                    x[span].copy_(image.x),
                    log_det[span].copy_(image.log_det),
                    positive[span].copy_(image.positive),
                    score,
                )
            )
        return images

    @abstractmethod
    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        """The source of linearisations at the present parameters, at any number of chunks.

        `workspace`: the buffers of their products; by default new ones.
        """

    def linearize(self, z: Tensor) -> Linearization:
        """J = ∂_θT(z) and ∇T(z) at the present parameters, z: (n, d)."""
        return self.linearizer().linearize(z)

    def linear_features(self, z: Tensor) -> LinearFeatures | None:
        """The features at z, (n, d), of a map that is linear in θ; None for another map."""
        return None

    def features_and_coordinates(self) -> tuple[int, int] | None:
        """Of a map that is linear in θ, the number of features of a block of coordinates, and that
        of its coordinates; None for another map."""
        like = next(self.parameters(), None)
        if like is None:
            return None
        features = self.linear_features(like.new_zeros(0, self.dimension))
        return None if features is None else (features.index.shape[1], features.index.shape[2])

    def lay_out(self, frame: Frame) -> None:
        """Prepare a map at its initial parameters for samples with mean and covariance of `frame`:
        what it has been given no numbers for, as centre and scale of its features, is taken from
        them. It remains the identity. A map without such parts, as by default, stays as it is."""
        return

    def chunk_size(self) -> int:
        """The least number of samples to linearise together on a CPU.

        It is large enough for the overhead of calls to be small, and small enough for the
        activations of the widest layer to stay in a core's cache.
        """
        widest = max(max(parameter.shape, default=1) for parameter in self.parameters())
        return max(512, _CACHED // widest)

    def forward_and_logdet(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T(z), (n, d), and log|det ∇T(z)|, (n,)."""
        image = self.transport(z)
        return image.x, image.log_det

    def parameter_count(self) -> int:
        """p, the length of θ."""
        return sum(parameter.numel() for parameter in self.parameters())

    def get_theta(self) -> Tensor:
        """A copy of θ, (p,): all parameters, flattened, one after another."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters()])

    def set_theta(self, theta: Tensor) -> None:
        """Copy θ, (p,), into the parameters. Errors: `InputError` for another length."""
        parameters = list(self.parameters())
        for parameter, part in zip(parameters, _split(theta, parameters), strict=True):
            parameter.data.copy_(part)

    def at(self, theta: Tensor) -> Self:
        """This map itself, after `set_theta(theta)`."""
        self.set_theta(theta)
        return self

    def architecture(self) -> dict[str, Any]:
        """Plain data from which `maps.rebuilt` builds a map of the same kind and size.

        Errors: `InputError` for a map that plain data cannot describe.
        """
        raise InputError(not_built_in(self))

    def split(self, v: Tensor) -> Iterator[Tensor]:
        """The parts of a vector v, (p,), as views in the parameters' shapes and order.

        Errors: `InputError` for another length.
        """
        return _split(v, list(self.parameters()))


def _split(v: Tensor, parameters: Sequence[Tensor]) -> Iterator[Tensor]:
    """See `PushForward.split`."""
    counts = [parameter.numel() for parameter in parameters]
    if v.numel() != sum(counts):
        raise InputError(
            f"a parameter vector of length {v.numel()} for a map with {sum(counts)} parameters"
        )
    parts = v.split_with_sizes(counts)
    return (part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True))


def _owned(image: Transported) -> Transported:
    """An image as that of one of several chunks would be: row by row in memory, on which the last
    bits of later products depend, and with log-determinants that may be overwritten, as those of a
    linear map are one number."""
    score = None if image.score is None else image.score.contiguous()
    return image._replace(x=image.x.contiguous(), log_det=image.log_det.clone(), score=score)


def not_built_in(map: nn.Module) -> str:
    """What is wrong with a user's own map where a built-in one is needed."""
    return (
        f"a {type(map).__name__} cannot be made again from plain data that a store can hold: only "
        "the built-in maps and their compositions can begin a new stage of a run"
    )


def flatten(*parts: Tensor) -> Tensor:
    """The vector of length p whose `PushForward.split` gives back `parts`."""
    return torch.cat([part.reshape(-1) for part in parts])


def identity_like(z: Tensor) -> Tensor:
    """I, (d, d), of the dtype and on the device of samples z, (n, d)."""
    return torch.eye(z.shape[1], dtype=z.dtype, device=z.device)


def signed_volume(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """log|det A| and whether det A > 0, (…) each, of matrices A, (…, k, k).

    A determinant that is not a number counts as not positive.
    """
    sign, log_abs = torch.linalg.slogdet(matrix)
    return log_abs, sign > 0
