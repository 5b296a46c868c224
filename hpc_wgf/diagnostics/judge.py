"""Evaluating the map of a flow at one time: its energy, its errors, its projection error.

A map is evaluated on a fixed sample that is independent of those from which the steps are computed.
The evaluation takes the problem, the sample and the map, and nothing of the method; it is therefore
the same for all methods, during a run and afterwards from its store.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..accounts import Part, counted
from ..cloud import Cloud
from ..columns import Column
from ..ensemble import Ensemble, Evaluation, energy_gradient, unusable
from ..maps import MapState, Stage
from ..parallel import tree_sum
from ..problems import ChunkForce, GaussianLaw, Motion, Problem, is_known, residual_is_defined
from .deformation import deformation
from .divergences import affine_law, symmetric_kl
from .errors import MapError, map_error
from .look import Look
from .partition import UNKNOWN, Partition, partition

_NAN = float("nan")
_LARGEST_FIT = 8192  # dimensions in which an affine map is fitted: its matrices take 1 GiB then


class Judge:
    """Evaluates maps for one problem, on one sample of its start density."""

    columns: Sequence[Column] = (
        Column("energy", "time", "F(rho), mean over the evaluation sample", "F"),
        Column("energy_rate_measured", "time", "dF/dt of the evaluation sample's energy along eta",
               "F/t", optional=True),
        Column("kl_divergence", "time", "KL to the stationary law, with the evaluation sample's "
               "sampling error", optional=True),
        Column("projection_error_fresh", "time", "E|J eta + f|^2 on the evaluation sample",
               "x^2/t^2", optional=True),
        Column("force_square_fresh", "time", "E|f|^2 on the evaluation sample", "x^2/t^2",
               optional=True),
        Column("force_square_median", "time", "median of |f|^2 on the evaluation sample",
               "x^2/t^2", optional=True),
        Column("map_error", "time", "(E|T - T_exact|^2)^(1/2) on the evaluation sample, at least "
               "W2", "x", optional=True),
        Column("map_displacement", "time", "(E|T_exact - z|^2)^(1/2) on the evaluation sample", "x",
               optional=True),
        Column("displacement", "time", "(E|T - z|^2)^(1/2) on the evaluation sample", "x",
               optional=True),
        Column("symmetric_kl", "time", "symmetric KL of the fitted Gaussian to the exact one",
               optional=True),
        Column("log_z", "time", "log of the integral of exp(-V/beta), by weights to the stationary "
               "density", optional=True),
        Column("log_z_error", "time", "its standard error", optional=True),
        Column("effective_samples", "time", "(sum w)^2 / sum w^2 of these weights",
               optional=True),
        Column("folded", "time", "evaluation samples at which the map has folded", integer=True),
        Column("energy", "step", "energy where the step begins", "F"),
        Column("energy_change_error", "step", "standard error of the energy's change in the step, "
               "of paired differences over the evaluation sample", "F", optional=True),
        Column("projection_error_fresh", "step", "projection_error_fresh where the step begins",
               "x^2/t^2", optional=True),
    )  # fmt: skip
    """The figures that the judge contributes to a run."""

    def __init__(self, problem: Problem, evaluation: Evaluation) -> None:
        self.problem, self.evaluation = problem, evaluation
        self._residual_is_defined = residual_is_defined(problem)
        self._behind: tuple[tuple[Stage, ...], Ensemble] = ((), evaluation.ensemble)

    def _ensemble(self, map: MapState) -> Ensemble:
        """The images of the evaluation sample under the frozen stages. They are kept, and computed
        anew only where a stage is another; one that is added carries them on."""
        stages, ensemble = self._behind
        if stages != map.stages:
            if stages != map.stages[: len(stages)]:
                stages, ensemble = (), self.evaluation.ensemble
            further = map.stages[len(stages) :]
            carried = ensemble.carried(further, score=self.problem.energy.needs_density)
            self._behind = map.stages, carried
        return self._behind[1]

    @counted(Part.EVALUATION)
    def look(
        self, map: MapState, velocity: Tensor | None = None, since: Look | None = None, *,
        time: float | None = None,
    ) -> Look:  # fmt: skip
        """Evaluate energy and density under `map`, and for a velocity η = θ', (p,), of the active
        map's parameters also E|Jη + f|²; with mobility P and drift b of the flow, P f − b is in the
        place of f. `since`: an earlier look, from which the energy's change is counted. `time`: t,
        by default that of the start. Collective, one all-reduce and those of interactions and
        mobility.

        Errors: `StepFailed` if a value is not finite, or if the energy depends on the density and
        the map has folded at more than a share `MOST_FOLDED` of the samples. Those fewer at which
        it has are left out of all means."""
        ensemble, flow = self._ensemble(map), self.problem.at(time)
        pushed = ensemble.push(map.active(), density=True, score=flow.energy.needs_density)
        forces = ensemble.forces(flow.energy, pushed, values=True)
        motions = ensemble.motions(flow, pushed, forces)
        eta = torch.zeros_like(map.theta) if velocity is None else velocity
        sums, failed = self._sums(map, ensemble, pushed, motions, eta, since)
        *summed, folded = ensemble.sum_or_fail(
            sums, failed, pushed, told=len(sums[0]), few_folds=True
        )[1]
        counted = ensemble.total - (int(folded) if flow.needs_density else 0)
        means = [each / counted for each in summed]
        energy, change_square, error, square, displaced, work = means
        change_error = _NAN
        if since is not None:
            change_error = ensemble.standard_error(energy - since.energy, change_square)
        unfolded = torch.cat([cloud.unfolded for cloud in pushed])
        of_use = unfolded if flow.needs_density else torch.ones_like(unfolded)
        known = velocity is not None and self._residual_is_defined
        return Look(
            x=torch.cat([cloud.x for cloud in pushed]),
            log_density=torch.where(
                unfolded, torch.cat([cloud.log_density for cloud in pushed]), _NAN
            ),
            values=torch.where(of_use, torch.cat([_value(force) for force in forces]), _NAN),
            force_squares=torch.where(
                of_use,
                torch.cat([each.opposite.double().square().sum(1) for each in motions]),
                _NAN,
            ),
            energy=energy,
            energy_change_error=change_error,
            projection_error=error if known else _NAN,
            force_square=square if known else _NAN,
            folded=int(folded),
            displacement=displaced**0.5,
            work=work + ensemble.energy_drift(flow.energy, pushed),
        )

    @counted(Part.EVALUATION)
    def residual(self, map: MapState, velocity: Tensor, *, time: float | None = None) -> float:
        """(E|Jη + f|²)^½ under a map, for a velocity η = θ' of its parameters, without all else
        that `look` finds. `time`: as for `look`. Collective, one all-reduce and those of
        interactions and mobility.

        Errors: as for `look`."""
        ensemble, flow = self._ensemble(map), self.problem.at(time)
        counts = flow.needs_density
        pushed = ensemble.push(map.active(), density=counts, score=flow.energy.needs_density)
        linearizer, sums, failed = map.map.linearizer(), [], []
        motions = ensemble.motions(flow, pushed, ensemble.forces(flow.energy, pushed))
        for k, motion in enumerate(motions):
            moved = linearizer.linearize(ensemble.chunks[k].x, budget=0).jvp(velocity)
            moved = moved + motion.opposite
            failed.append(unusable(pushed[k], motion.opposite, folded_count=counts))
            folded = ~pushed[k].unfolded if counts else failed[-1][0]
            square = ensemble.square(k, _without(folded, moved))
            sums.append(torch.stack([square, folded.sum().double()]))
        summed = ensemble.sum_or_fail(sums, failed, pushed, told=2, few_folds=True)[1]
        mean: float = summed[0] / (ensemble.total - summed[1])
        return mean**0.5

    def _sums(
        self, map: MapState, ensemble: Ensemble, pushed: Sequence[Cloud],
        motions: Sequence[Motion], eta: Tensor, since: Look | None,
    ) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
        """For every chunk Σφ, Σ|wφ − wφ'|² with φ' the integrand before, Σ|Jη + f|², Σ|f|²,
        Σ|T(z) − z|², Σf·Jη and the number of folded samples, (7,) in float64, and the samples that
        are `unusable`."""
        linearizer, start = map.map.linearizer(), self.evaluation.ensemble.chunks
        needs_density = self.problem.at().needs_density
        before = None if since is None else since.values.split([len(cloud.x) for cloud in pushed])
        sums, failed = [], []
        for k, (cloud, motion) in enumerate(zip(pushed, motions, strict=True)):
            force = motion.force
            # No budget: the linearisation is used once, so that nothing of it is worth keeping.
            moved = linearizer.linearize(ensemble.chunks[k].x, budget=0).jvp(eta)
            value = _value(force)
            change = value.double() - (value if before is None else before[k])
            folded = ~cloud.unfolded
            total, position = motion.opposite, force.position
            checked = torch.cat([total, value[:, None]], 1)
            failed.append(unusable(cloud, checked, folded_count=needs_density))
            displacement = cloud.x - start[k].x
            if needs_density:
                moved, total, value, change, displacement = (
                    _without(folded, part) for part in (moved, total, value, change, displacement)
                )
                change = _without(change.isnan(), change)  # It had folded there before.
            work = ensemble.weighted(k, position * moved).sum(dtype=torch.float64)
            values = ensemble.weighted(k, value).sum(dtype=torch.float64)
            # Of the means' standard error: squares of wᵢφᵢ, which are what is averaged.
            changed = ensemble.weighted(k, change).double().square().sum()
            residual = ensemble.square(k, moved + total)
            square = ensemble.square(k, total)
            displaced = ensemble.square(k, displacement)
            parts = (values, changed, residual, square, displaced, work, folded.sum().double())
            sums.append(torch.stack(parts))
        return sums, failed

    def log_density(self, look: Look) -> Tensor:
        """log ρ at the samples, (n,); not a number where the map has folded, and everywhere where
        the start density is not known."""
        known = is_known(self.problem.start)
        return look.log_density if known else torch.full_like(look.log_density, _NAN)

    def energy_spread(self, look: Look) -> float:
        """The standard deviation over the sample of the integrand of F, and of the summands that
        depend on the density where there are any: near a steady state these cancel the others.
        A constant in the energy does not enter. Collective."""
        ensemble, energy = self.evaluation.ensemble, self.problem.energy
        found = ensemble.spread(look.values[:, None])
        if energy.needs_density:
            of_density = energy.density_integrand(look.x, look.log_density).detach()
            found += ensemble.spread(of_density[:, None])
        return found

    @counted(Part.EVALUATION)
    def deformation(self, map: MapState) -> float:
        """How far the active map is from an affine one, see `deformation`; collective."""
        return deformation(map.active(), self._ensemble(map))

    @counted(Part.EVALUATION)
    def rate(self, map: MapState, velocity: Tensor, look: Look) -> float:
        """dF/dt = ∇_θF · η, for F the mean over the evaluation sample and η = `velocity`, (p,).

        The derivative of this sample mean is exact: E[f·Jη] for the parts of the energy that do not
        depend on the density, with ∂ₜF, and automatic differentiation for the others. `look` is
        what the method of that name found for the same map and velocity. Collective if the energy
        depends on the density."""
        if not self.problem.energy.needs_density:
            return look.work
        ensemble, active = self._ensemble(map), map.active()
        chunks = ensemble.chunks
        if look.folded:
            known = (~look.values.isnan()).split([len(chunk.x) for chunk in chunks])
            chunks = [chunk.at(where) for chunk, where in zip(chunks, known, strict=True)]
        rates = [
            (energy_gradient(active, self.problem.energy, chunk) @ velocity).double()
            for chunk in chunks
        ]
        summed = ensemble.communicator.sum(tree_sum(rates)[None])
        return look.work + float(summed) / (ensemble.total - look.folded)

    @counted(Part.EVALUATION)
    def figures(
        self, time: float, map: MapState, velocity: Tensor | None, look: Look
    ) -> dict[str, float]:
        """The values at `time` of those `columns` that stored times have, by name.

        `look` is what the method of that name found for the same `map` and `velocity`. A figure
        that is not defined for the problem, as the error where no exact map is known, is NaN.
        Collective."""
        beta = self.problem.energy.beta()
        known = is_known(self.problem.start)
        log_partition = self.problem.log_partition() if known else None
        error, found = self._map_error(time, look), self._partition(look)
        return {
            "energy": look.energy,
            "energy_rate_measured": _NAN if velocity is None else self.rate(map, velocity, look),
            "kl_divergence": _NAN if log_partition is None else look.energy / beta + log_partition,
            "projection_error_fresh": look.projection_error,
            "force_square_fresh": look.force_square,
            "force_square_median": self._median(look),
            "map_error": error.absolute,
            "map_displacement": error.displacement,
            "displacement": look.displacement,
            "symmetric_kl": self._symmetric_kl(time, look),
            "log_z": found.log_z,
            "log_z_error": found.error,
            "effective_samples": found.effective,
            "folded": look.folded,
        }

    def _map_error(self, time: float, look: Look) -> MapError:
        problem, ensemble = self.problem, self.evaluation.ensemble
        if problem.exact is None:
            return MapError(_NAN, _NAN)
        z = self.evaluation.z
        exact = problem.exact(time - problem.start_time, z)
        return map_error(z, look.x, exact, ensemble)

    def _partition(self, look: Look) -> Partition:
        energy = self.problem.energy
        known = self.problem.tends_to_minimum and energy.potential() is not None
        if not known or energy.beta() == 0:
            return UNKNOWN
        if not is_known(self.problem.start):
            return UNKNOWN
        return partition(look.values, energy.beta(), look.energy, self.evaluation.ensemble)

    def _median(self, look: Look) -> float:
        """The median of |f|². NaN where the mean is."""
        if math.isnan(look.force_square):
            return _NAN
        return self.evaluation.ensemble.median(look.force_squares)

    def _symmetric_kl(self, time: float, look: Look) -> float:
        """Symmetric KL divergence of the fitted Gaussian from the exact law. NaN where that is not
        Gaussian, where there are too few samples to fit an affine map, or too many dimensions."""
        problem, ensemble = self.problem, self.evaluation.ensemble
        largest = min(ensemble.total - 1, _LARGEST_FIT)
        if not isinstance(problem.exact, GaussianLaw) or problem.dimension > largest:
            return _NAN
        start = problem.exact.start
        fitted = affine_law(
            self.evaluation.z, look.x, start.mean, start.covariance, ensemble.communicator
        )
        return symmetric_kl(*fitted, *problem.exact.law(time - problem.start_time))


def _value(force: ChunkForce) -> Tensor:
    """The integrand φ, which the judge always asks for."""
    assert force.value is not None
    return force.value


def _without(left_out: Tensor, values: Tensor) -> Tensor:
    """The values, (n,) or (n, k), with 0 at samples that are left out, (n,) bool."""
    return values.masked_fill(left_out.view(-1, *[1] * (values.ndim - 1)), 0.0)
