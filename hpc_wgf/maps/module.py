"""A user's own `nn.Module` as a push-forward map, through `torch.func`."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ..errors import InputError
from ..user_code import called, check_values, said
from .base import PushForward, Transported
from .chunk import Chunk, Matrices, Workspace
from .layer import ParameterLayer, rows_as_layer, weight_index
from .linearization import Linearizer
from .volume import transport_by_gradient


class ModuleMap(PushForward):
    """T(z) = N_θ(z) for a `module` N: (n, d) → (n, d) that acts on each sample alone.

    With `anchored`, T(z) = z + N_θ(z) − N_θ₀(z), θ₀ being the initial parameters, which is the
    identity at the start whatever N is. `chunk`: samples whose scores are computed together on a
    CPU, which bounds the memory; on a GPU a share of its memory does. It is slower than the
    built-in maps, since J v evaluates the module again, and every product allocates memory.

    Errors: `InputError` for what is no `nn.Module`, for a scripted one, for a module without
    parameters, with frozen ones, or with ones that are not real or have no shape yet, and for batch
    normalisation or dropout in training mode, with which an image depends on more than its sample.
    """

    def __init__(
        self, dimension: int, module: nn.Module, *, anchored: bool = False, chunk: int = 512
    ) -> None:
        super().__init__(dimension)
        self._check_kind(module)
        frozen = [name for name, value in module.named_parameters() if not value.requires_grad]
        if frozen:
            raise InputError(
                f"the module's parameters {', '.join(frozen)} are frozen, but a flow moves every "
                "parameter: register them as buffers"
            )
        self.module = module
        self.chunk = chunk
        self.anchored = anchored
        if anchored:
            for k, value in enumerate(module.parameters()):
                self.register_buffer(f"anchor_{k}", value.detach().clone())

    @staticmethod
    def _check_kind(module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            given = f"the class {module.__name__}" if isinstance(module, type) else None
            raise InputError(
                f"a module map needs a torch.nn.Module, got {given or type(module).__name__}"
            )
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                "the module is scripted, so that it cannot be evaluated at other parameters than "
                "its own: give the module from which it was made (one from torch.compile will do)"
            )
        if next(module.parameters(), None) is None:
            raise InputError(
                "the module has no parameters: there is nothing that a flow could move"
            )
        for name, value in module.named_parameters():
            if isinstance(value, nn.parameter.UninitializedParameter):
                raise InputError(
                    f"the module's parameter {name} has no shape yet: evaluate the module once, "
                    "at samples of shape (n, d)"
                )
            if not value.is_floating_point():
                raise InputError(f"the module's parameter {name} is {value.dtype}: expected reals")
        for part in module.modules():
            idle = isinstance(part, _DropoutNd) and part.p == 0
            if isinstance(part, _BatchNorm | _DropoutNd) and part.training and not idle:
                raise InputError(
                    f"the module's {type(part).__name__} makes a sample's image depend on other "
                    "samples or on chance: leave it out, or call eval() on the module"
                )

    def _named(self) -> dict[str, Tensor]:
        return dict(self.module.named_parameters())

    def _apply_at(self, parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        x = called("the module", functional_call, self.module, parameters, (z,))
        check_values("the module", x, z, z.shape, "the images of the samples")
        if not self.anchored:
            return x
        start = {name: self.get_buffer(f"anchor_{k}") for k, name in enumerate(parameters)}
        return z + (x - functional_call(self.module, start, (z,)))

    def forward(self, z: Tensor) -> Tensor:
        # The module gets samples of its own: what it does to them is not done to the run's.
        return self._apply_at(self._named(), z.clone())

    def _with_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        gradient = vmap(jacrev(lambda point: self(point[None])[0]))(z)
        return self(z), gradient

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        return transport_by_gradient(
            self._with_gradient, z, score, chunk=self.chunk,
            bytes_per_sample=self._second_order_bytes if z.is_cuda and score is not None else 0,
        )  # fmt: skip

    @cached_property
    def _second_order_bytes(self) -> int:
        """Memory of a derivative of ∇T for each sample, about: d gradients, each with three numbers
        for one of the module's graph."""
        return 3 * self.dimension * self.linearizer().bytes_per_sample

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        return ModuleLinearizer(self, workspace)


def cannot_be_evaluated(z: Tensor, error: Exception) -> InputError:
    """The error for a module that has raised `error` at z, (n, d)."""
    return InputError(
        f"the module cannot be evaluated at samples of shape {tuple(z.shape)}: {said(error)}. It "
        "must take one tensor (n, d), leave it as it is, and return one of this shape"
    )


class _Differentiable(Protocol):
    """A map of parameters that are given, which torch differentiates."""

    dimension: int

    def _named(self) -> dict[str, Tensor]: ...

    def _apply_at(self, parameters: dict[str, Tensor], z: Tensor) -> Tensor: ...


class ModuleLinearizer(Linearizer):
    """Keeps the autograd graph of one evaluation, from which every Jᵀu is made; θ is packed as it
    is. Every product goes through a graph of the stream on which the module was evaluated."""

    capturable = False

    def __init__(self, map: _Differentiable, workspace: Workspace | None) -> None:
        self.map = map
        self.parameters = {name: value.detach().clone() for name, value in map._named().items()}
        shapes = [value.shape for value in self.parameters.values()]
        like = next(iter(self.parameters.values()))
        super().__init__(
            map.dimension, like, rows=0, shapes=shapes, places=None, workspace=workspace
        )

    def direction(self, v: Tensor) -> Matrices:
        return self.matrices(v)

    def matrices(self, packed: Tensor) -> Matrices:
        parts = packed.split(self.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def unpacked(self, packed: Tensor) -> Tensor:
        return packed.clone()

    @cached_property
    def _graph_bytes(self) -> int:
        """Memory of the graph for each sample: a difference, as parts do not grow with samples."""
        return (self._saved_bytes(4) - self._saved_bytes(2)) // 2

    def _saved_bytes(self, samples: int) -> int:
        kept: dict[int, int] = {}

        def note(value: Tensor) -> Tensor:
            storage = value.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return value

        z = self.like.new_zeros(samples, self.dimension)
        try:
            with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
                graph = self.evaluate(z)
        except InputError:
            raise
        except Exception as error:  # for example, layers of another width
            raise cannot_be_evaluated(z, error) from error
        del graph  # Kept until here, so that no address is used twice.
        return sum(kept.values())

    @property
    def bytes_per_sample(self) -> int:
        return self._graph_bytes

    def evaluate(self, z: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """T(z), (n, d), with its autograd graph, and the parameters and samples at its root.

        Errors: `InputError` where the module returns another shape than z has.
        """
        with torch.enable_grad():
            parameters = {name: v.detach().requires_grad_() for name, v in self.parameters.items()}
            point = z.detach().clone().requires_grad_()
            return self.map._apply_at(parameters, point), list(parameters.values()), point

    def chunk(self, storage: Tensor) -> Chunk:
        return _ModuleChunk(self)


class _ModuleChunk:
    """J v by forward and Jᵀu by reverse automatic differentiation."""

    def __init__(self, shared: ModuleLinearizer) -> None:
        self.shared = shared

    def fill(self, z: Tensor) -> Tensor:
        self.x, self.parameters, self.z = self.shared.evaluate(z.T)
        return self.x.detach().T

    def push(self, direction: Matrices, dz: Tensor | None) -> Tensor:
        function, parameters = self.shared.map._apply_at, self.shared.parameters
        z, tangent = self.z.detach(), dict(zip(parameters, direction, strict=True))
        if dz is None:
            return jvp(lambda theta: function(theta, z), (parameters,), (tangent,))[1].T
        return jvp(function, (parameters, z), (tangent, dz.T))[1].T

    def pull(self, u: Tensor, grads: Matrices, *, inputs: bool) -> Tensor | None:
        roots = [*self.parameters, self.z] if inputs else self.parameters
        found = torch.autograd.grad(self.x, roots, u.T, retain_graph=True, materialize_grads=True)
        for grad, value in zip(grads, found, strict=False):
            grad.copy_(value)
        return found[-1].T if inputs else None

    def layers(
        self, directions: Tensor, *, inputs: bool
    ) -> tuple[list[ParameterLayer], Tensor | None]:
        """All of θ as one layer with the input 1, whose sensitivity is eᵀJ itself."""
        z = self.z.detach()

        def pulled(z: Tensor, e: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            return vjp(
                lambda parameters, point: self.shared.map._apply_at(parameters, point[None])[0],
                self.shared.parameters,
                z,
            )[1](e)

        grads, back = vmap(vmap(pulled, (None, 0)))(z, directions)
        rows = torch.cat([grad.flatten(2) for grad in grads.values()], 2)
        index = weight_index(rows.shape[2], 1, 0, None, rows.device)
        return [rows_as_layer(rows, index)], back
