"""Planar flow: T = f_K ∘ … ∘ f_1, f_k(x) = x + u_k tanh(w_k·x + b_k) [PWGF (5.2)]."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn

from .base import PushForward, Transported
from .chunk import Workspace
from .features import FeatureOptions, initial_features, lay_out
from .frame import Frame
from .linearization import Linearizer
from .planar_linearization import PlanarLinearizer


class PlanarFlow(PushForward):
    """f_K ∘ … ∘ f_1, f_k(x) = x + u_k tanh(w_k·x + b_k) [PWGF (5.2)], of K `layers`.

    θ = (W, b, U), p = K(2d + 1): w_k and u_k are the rows of W and U, (K, d); b is (K,). At the
    start U = 0, and W and b are those of `initial_features`, which takes the options.

    Errors: `InputError` for features that do not fit the dimension.
    """

    def __init__(
        self,
        dimension: int,
        layers: int,
        **options: Unpack[FeatureOptions],
    ) -> None:
        super().__init__(dimension)
        self._options = options
        W, b = initial_features(layers, dimension, **options)
        self.W = nn.Parameter(W.to(torch.get_default_dtype()))
        self.b = nn.Parameter(b.to(torch.get_default_dtype()))
        self.U = nn.Parameter(torch.zeros_like(self.W))

    def lay_out(self, frame: Frame) -> None:
        lay_out(self.W, self.b, frame, self._options)

    def architecture(self) -> dict[str, Any]:
        return {"kind": "planar", "dimension": self.dimension, "layers": len(self.W)}

    def forward(self, z: Tensor) -> Tensor:
        x = z
        for w, b, u in zip(self.W, self.b, self.U, strict=True):
            x = x + torch.outer(torch.tanh(x @ w + b), u)
        return x

    def transport(self, z: Tensor, score: Tensor | None = None) -> Transported:
        """See `PushForward.transport`. Layer by layer, with a = tanh(w·x + b), a' = 1 − a²,
        a'' = −2aa' and g = w·u: det = 1 + a'g;  s ← s − w a''g/det;  s ← s − w a'(u·s)/det."""
        x = z
        log_det = torch.zeros_like(z[:, 0])
        positive = torch.ones_like(log_det, dtype=torch.bool)
        for w, b, u in zip(self.W, self.b, self.U, strict=True):
            a = torch.tanh(x @ w + b)
            slope, g = 1 - a * a, torch.dot(w, u)
            det = 1 + slope * g
            log_det = log_det + det.abs().log()
            positive = positive & (det > 0)
            if score is not None:
                score = score + torch.outer(2 * a * slope * g / det, w)
                score = score - torch.outer(slope * (score @ u) / det, w)
            x = x + torch.outer(a, u)
        return Transported(x, log_det, positive, score)

    def linearizer(self, workspace: Workspace | None = None) -> Linearizer:
        parameters = (self.W.detach().clone(), self.b.detach().clone(), self.U.detach().clone())
        return PlanarLinearizer(*parameters, workspace)
