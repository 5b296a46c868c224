"""The linear system of a state: Ĝ, ∇F and the force at the samples [PWGF (3.17), (3.18), (3.21)].

Ĝ = JᵀJ/n,  ∇F = Jᵀf/n,  J = ∂_θT at the samples, f = ∇ δF/δρ at their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..choices import Form
from ..interactions import Particles
from ..maps import Linearization, Linearizer, PushForward, flatten
from ..metric import GramOperator
from ..parallel import Communicator, TreeSum, tree_sum
from ..problems import ChunkForce, Cloud, Problem
from .base import StepFailed
from .options import PWGFOptions
from .sampling import Reference, Samples

_NAN = float("nan")
GRADIENT_CHUNK = 8192  # samples whose graph of log det ∇T is held at a time


@dataclass(frozen=True)
class Pushed:
    """The images of one chunk, and where the map has not folded, (n,) bool."""

    cloud: Cloud
    positive: Tensor


@dataclass(frozen=True)
class NormalEquations:
    """Ĝη = −∇F at θ on one set of samples. `b`: −∇F, (p,). `images`, `forces`: x and f of every
    chunk of this rank, (n_chunk, d). `force_square`: E|f|²."""

    samples: Samples
    gram: GramOperator
    b: Tensor
    images: Sequence[Tensor]
    forces: Sequence[Tensor]
    force_square: float

    @property
    def total(self) -> int:
        """n, the samples of all ranks."""
        return self.samples.total

    @property
    def points(self) -> list[Tensor]:
        """z of every chunk of this rank, (n_chunk, d)."""
        return self.samples.points

    @property
    def rows(self) -> Tensor:
        """−f/√n, (n_local, d): what J η/√n is to be."""
        return torch.cat(list(self.forces)).div_(-(self.total**0.5))

    @property
    def operations(self) -> float:
        """Floating-point operations of a product with Ĝ, about: 8 a sample and parameter."""
        return 8.0 * self.total * self.b.numel()


@dataclass(frozen=True)
class _Chunk:
    """What one chunk of the samples has at θ; `counts`: see there."""

    jacobian: Linearization
    force: Tensor
    counts: Tensor


class Assembly:
    """Makes the systems of one problem and map; `map` carries the parameters at which."""

    def __init__(
        self, problem: Problem, map: PushForward, options: PWGFOptions, communicator: Communicator
    ) -> None:
        self.problem, self.map, self.form = problem, map, options.form
        self.communicator = communicator
        self._budget = options.budget

    def system(self, samples: Samples) -> NormalEquations:
        """The system at the map's present parameters; collective.

        Errors: `StepFailed` where the map folds or a value is not finite.
        """
        pushed = self.push(samples.chunks)
        forces = self.forces(pushed, samples)
        parts = zip(samples.chunks, pushed, forces, strict=True)
        linearizer, own, chunks = self.map.linearizer(), TreeSum(), []
        for part in parts:
            chunk, contribution = self._chunk(linearizer, *part)
            chunks.append(chunk)
            own.add(contribution)
        gram = GramOperator([chunk.jacobian for chunk in chunks], samples.total, self.communicator)
        sums = self.reduce([own.total()], [chunk.counts for chunk in chunks])
        return NormalEquations(
            samples=samples,
            gram=gram,
            b=sums[:-1].to(chunks[0].force.dtype).div_(samples.total),
            images=[part.cloud.x for part in pushed],
            forces=[chunk.force for chunk in chunks],
            force_square=float(sums[-1]) / samples.total,
        )

    @torch.no_grad()
    def push(self, references: Sequence[Reference], *, density: bool = False) -> list[Pushed]:
        """The clouds T(z), with density and score where the energy or `density` asks for them."""
        if not (density or self.problem.energy.needs_density):
            return [self._moved(reference.z) for reference in references]
        scores = [reference.score for reference in references]
        images = self.map.transport_chunks(
            [reference.z for reference in references],
            scores if self.problem.energy.needs_density else None,
        )
        pushed = []
        for reference, image in zip(references, images, strict=True):
            carried = torch.full_like(image.x, _NAN) if image.score is None else image.score
            cloud = Cloud(image.x, reference.log_density - image.log_det, carried)
            pushed.append(Pushed(cloud, image.positive))
        return pushed

    def _moved(self, z: Tensor) -> Pushed:
        """T(z) alone."""
        x = self.map(z)
        unknown = torch.full_like(x, _NAN)
        positive = torch.ones_like(x[:, 0], dtype=torch.bool)
        return Pushed(Cloud(x, unknown[:, 0], unknown), positive)

    def forces(
        self, pushed: Sequence[Pushed], samples: Samples, *, values: bool = False
    ) -> list[ChunkForce]:
        """f at the images; collective where particles interact."""
        clouds = [part.cloud for part in pushed]
        particles = Particles([cloud.x for cloud in clouds], samples.sizes, self.communicator)
        return self.problem.energy.forces(clouds, particles, values=values)

    def _chunk(
        self, linearizer: Linearizer, reference: Reference, pushed: Pushed, force: ChunkForce
    ) -> tuple[_Chunk, Tensor]:
        """The part of one chunk in Ĝ, and its sums (p + 1,) in float64: the descent direction −∇F
        and |f|², over the samples."""
        total = force.total
        jacobian = linearizer.linearize(reference.z, budget=self._budget)
        if self.form is Form.FORCE or force.density is None:
            descent = jacobian.vjp(total.neg())[0]
        else:
            descent = jacobian.vjp(force.position.neg())[0].sub_(self.energy_gradient(reference))
        squares = total.double().square().sum()
        sums = torch.cat([descent.double(), squares[None]])
        return _Chunk(jacobian, total, self.counts(pushed, total)), sums

    def counts(self, pushed: Pushed, values: Tensor) -> Tensor:
        """Samples of a chunk that make the step worthless: folded ones, where their density enters
        the energy, and those of positions or of values, (n, …), that are not finite."""
        folded = ~pushed.positive if self.problem.energy.needs_density else ~pushed.positive & False
        lost = ~torch.isfinite(pushed.cloud.x).all(1)
        broken = ~torch.isfinite(values).all(1)
        return torch.stack([folded.sum(), lost.sum(), broken.sum()])

    def energy_gradient(self, reference: Reference) -> Tensor:
        """∇_θ of the sum of the density-dependent integrand over a chunk's samples, (p,)."""
        parts = [each.split(GRADIENT_CHUNK) for each in (reference.z, reference.log_density)]
        total = reference.z.new_zeros(self.map.parameter_count())
        for z, log_density in zip(*parts, strict=True):
            with torch.enable_grad():
                x, log_det = self.map.forward_and_logdet(z)
                values = self.problem.energy.density_integrand(x, log_density - log_det)
                grads = torch.autograd.grad(
                    values.sum(), list(self.map.parameters()), materialize_grads=True
                )
            total += flatten(*grads)
        return total

    def reduce(self, sums: list[Tensor], counts: list[Tensor]) -> Tensor:
        """Σ of the chunks' `sums` over all ranks, in one float64 all-reduce that also carries
        every rank's counts. Errors: `StepFailed` where samples have folded or are not finite."""
        size, rank = self.communicator.size, self.communicator.rank
        mine = tree_sum(sums)
        causes = (
            "the map has folded", "positions are not finite", "values are not finite"
        )  # fmt: skip
        placed = mine.new_zeros(len(causes), size)
        placed[:, rank] = tree_sum(counts).to(mine)
        total = self.communicator.sum(torch.cat([mine, placed.reshape(-1)]))
        per_rank = total[mine.numel() :].view(len(causes), size).tolist()
        for cause, numbers in zip(causes, per_rank, strict=True):
            bad = [f"{int(count)} samples of rank {r}" for r, count in enumerate(numbers) if count]
            if bad:
                raise StepFailed(f"{cause} at {', '.join(bad)}")
        return total[: mine.numel()]
