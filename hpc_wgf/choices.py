"""Options that are chosen by name, in run files and in Python. This module does not need torch."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """How the gradient ∇F of the energy with respect to the parameters θ is estimated from samples.

    All estimates have the same expectation, the last but for what its functions cannot show. Only
    the first and the last lie in the range of the sampled metric Ĝ = JᵀJ/n, so that the system
    Ĝη = −∇F is consistent.
    """

    FORCE = "force"
    """∇F = Jᵀf/n, with J = ∂T/∂θ, the Jacobian of the map at the n samples, and f = ∇ δF/δρ, the
    force at their images."""
    ENERGY = "energy"
    """∇F is the derivative of the energy's sample mean, (1/n) Σᵢ φ(xᵢ, ρ(xᵢ)), with respect to
    θ."""
    WEAK = "weak"
    """∇F = Jᵀf/n, with the force of entropy and internal energies the gradient field Σ_k a_k ∇φ_k
    whose moments E[f·∇φ_k] are those after integration by parts, −E[(p/ρ) Δφ_k] with the pressure
    p = βρ or cρᵐ: no score is asked for, and a jump of the density is seen. It fits sampling
    noise."""


class Metric(StrEnum):
    """In which metric the parameters descend."""

    PULLBACK = "pullback"
    """Ĝ = E[∂θTᵀ ∂θT]: every motion of the samples counts."""
    GRADIENT = "gradient"
    """G_ε = E[∂θTᵀ (Π + ε(I − Π)) ∂θT], Π the projection onto gradients of functions: motions that
    leave the density as it is count ε. ε → 0 is the metric of [PFPE]; on the line Π = I."""
    FLAT = "flat"
    """I: θ' = −∇F, which ignores the geometry of the map. For comparison [PFPE Fig. 16]."""


class InnerProduct(StrEnum):
    """In which mean square the velocity of a flow with mobility P is fitted."""

    NATURAL = "natural"
    """E|P^{−½}(Jη + P f)|²: ∇F is that of P = I, and where there is no drift and V does not
    move the energy falls with any map."""
    PLAIN = "plain"
    """E|Jη + P f|², in units of the samples' motion: the energy may rise."""


class Sampling(StrEnum):
    """How the samples of a step are drawn from the start density."""

    RANDOM = "random"
    """Independent samples: means have errors of order n^{−½}."""
    SOBOL = "sobol"
    """Scrambled Sobol points, new ones for every step, through the inverse transform of the start
    density: means of smooth functions have errors of nearly order n^{−1} and below. n is best a
    power of two."""


class Stream(StrEnum):
    """Where the random numbers of samples come from."""

    NUMPY = "numpy"
    """numpy's generators on the host, one for every block of samples."""
    PHILOX = "philox"
    """A counter-based stream: a number for every seed, purpose, step, sample and coordinate, the
    same on CPUs and GPUs and on any number of ranks, carried to the start density by its inverse
    transform (normal numbers by Φ⁻¹). On a GPU samples are drawn there, and nothing is copied."""


class Proposal(StrEnum):
    """The density from which the samples of steps, and those of the evaluation, are drawn."""

    AUTOMATIC = "auto"
    """The start density λ; where an internal energy ∫ρᵐ meets Gaussians so peaked that hardly a
    sample carries the force, .4 N(c, C) + .3 N(c, C/m) + .3 N(c, C/(2m − 1)) in place of every
    Gaussian N(c, C), with importance weights λ/q."""
    NONE = "none"
    """The start density."""


class ToleranceUnit(StrEnum):
    """What the tolerance of a step is measured in."""

    DISPLACEMENT = "displacement"
    """max(D + ΔD, 10⁻³ s): D = (E|T(z) − z|²)^½ is how far the samples have come where the step
    begins, ΔD how far the step moves them, and s = (E|z − E[z]|²)^½ the spread of the start
    density. The unit of x does not matter then."""
    X = "x"
    """The unit of x: the tolerance is absolute."""


class Redraw(StrEnum):
    """When new samples of the start density are drawn."""

    STEP = "step"
    """For every step: what a step fits of the noise of its samples, the next ones average out.
    Behind k frozen stages each draw takes k transports."""
    STAGE = "stage"
    """For every stage: they are carried through the frozen stages once. For quasi-random samples,
    which hardly have noise."""
    RUN = "run"
    """Once: the same samples all along, which every stage carries on when it is frozen. The
    cheapest where every step is a stage."""


class Solver(StrEnum):
    """How Ĝη = −∇F is solved."""

    AUTOMATIC = "automatic"
    """`DIRECT` for maps that are linear in their parameters, unless a preconditioner or validation
    samples are asked for, or samples are fewer than features; else `MINRES`."""
    DIRECT = "direct"
    """By Cholesky factors of the matrix Ĝ, once for the samples of a step. For maps that are linear
    in their parameters, as affine maps and splines are: Ĝ does not depend on θ then."""
    MINRES = "minres"
    """MINRES on Ĝ, with one all-reduce of a vector per iteration."""
    LSMR = "lsmr"
    """LSMR on the least-squares problem Jη ≈ −f itself instead of its normal equations. Its
    residual therefore stays the true one in single precision too. Each iteration needs one more
    all-reduce, of a single number. LSMR requires the force form of ∇F."""


class Preconditioning(StrEnum):
    """The approximation of Ĝ with which the Krylov solves are preconditioned.

    It is estimated from a subsample of about 2000 samples, `DENSE` from fewer where a product with
    Ĝ takes so little that a better approximation would not pay.
    """

    AUTOMATIC = "automatic"
    """`DENSE` for few parameters. For more `LAYERS` where parts of the map have one hidden layer at
    most, else `OUTPUTS` where its blocks are small enough, up to 64 dimensions, and `KRONECKER`
    beyond. `NONE` for many parameters of a map without linear layers (planar flows, user modules),
    and for the energy form of ∇F, as a more accurate solve would fit its sampling noise."""
    NONE = "none"
    """No preconditioner."""
    DENSE = "dense"
    """The whole matrix Ĝ of the subsample."""
    OUTPUTS = "outputs"
    """Diagonal blocks of Ĝ, one for each output coordinate: its parameters, with those of the
    hidden units that move this coordinate most."""
    LAYERS = "layers"
    """Ĝ by layers: E[φφᵀ] ⊗ I of features φ that enter the outputs, as of an affine map, E[zzᵀ] ⊗
    E[MᵀM] where other parts with M = ∇T follow, hidden units in blocks by output coordinate, and
    what units and features have in common. `OUTPUTS` where every unit moves one output."""
    KRONECKER = "kronecker"
    """One Kronecker product of two small matrices for each layer."""
    NYSTROM = "nystrom"
    """A low-rank (Nyström) approximation of Ĝ."""


class Route(StrEnum):
    """How the sums of ∇J(x−y) over all particles y are computed, for n particles on P ranks."""

    AUTOMATIC = "automatic"
    """`MOMENTS` where the kernel allows it, else `PAIRS`, or `BATCHES` for many particles."""
    MOMENTS = "moments"
    """From moments of the particles, exactly, in O(n d²/P) operations per rank. For kernels that
    are sums of |x|² and |x|⁴ only."""
    PAIRS = "pairs"
    """Over all pairs, exactly, in O(n²/P) operations per rank. Blocks of particles travel round the
    ring of ranks."""
    BATCHES = "batches"
    """Over small random batches: an unbiased estimate in O(n/P) operations per rank. Its variance
    adds to that of the force, and thereby to E|f|² and to the projection error."""


class PairSums(StrEnum):
    """What sums over all pairs of particles. Results agree to rounding, not to the bit."""

    TILES = "tiles"
    """Torch, in tiles that fit into a core's cache."""
    KEOPS = "keops"
    """PyKeOps, a package of its own, which compiles a loop for every kernel: some seconds, once on
    a machine. For the kernels that have a name, but for K₀."""
    AUTOMATIC = "automatic"
    """`KEOPS` where it is installed, there is no GPU, the kernel is a singular one of whole
    exponents, for which it is faster, and 8192 samples or more make up for the compilation; else
    `TILES`. A store says which was taken, and a run goes on as it began."""


class Features(StrEnum):
    """How the directions w ∈ ℝᵈ of features tanh(w·z + b) are initialised."""

    RANDOM = "random"
    """w ~ N(0, scale² I/d), independent for every feature."""
    AXIS = "axis"
    """w = scale · e_j, where j runs through the coordinates cyclically. If the number of features
    is a multiple of d, every coordinate has equally many."""


class Codec(StrEnum):
    """How the particles of a store are compressed, without loss. All have checksums."""

    ZSTD = "zstd"
    """Blosc's Zstandard of level 1 over shuffled bits."""
    LZ4 = "lz4"
    """Blosc's LZ4 over shuffled bits: faster, and larger."""
    NONE = "none"
    """Not at all."""


class Precision(StrEnum):
    """Floating-point format of maps and samples."""

    FLOAT64 = "float64"
    FLOAT32 = "float32"


class VelocityKind(StrEnum):
    """The networks of the velocities of Deep JKO."""

    BLOCK = "block"
    """v = A x + b + U tanh(W x + w τ + c)."""
    POTENTIAL = "potential"
    """The same with A symmetric and U = Wᵀ diag(u), the gradient of a potential."""
    RESIDUAL = "residual"
    """The gradient of a residual network of several layers, the paper's."""


class ImplicitSteps(StrEnum):
    """The schemes in time of the method of implicit steps."""

    SDIRK2 = "sdirk2"
    """Two stages, L-stable, of order two, with an estimate of its error."""
    EULER = "euler"
    """One stage, the JKO scheme, of order one."""


class Forward(StrEnum):
    """What an implicit step takes explicitly, by forward-backward splitting."""

    NONE = "none"
    """Nothing."""
    INTERACTIONS = "interactions"
    """The forces of interactions; potentials, entropy and internal energies are implicit."""


class Engine(StrEnum):
    """What trains the networks of a step."""

    TORCH = "torch"
    """Adam of torch on every rank, with gradients summed in a fixed order."""
    DEEPSPEED = "deepspeed"
    """DeepSpeed's, which shards Adam's moments over the ranks by ZeRO; in float32."""


class Decay(StrEnum):
    """How the learning rate changes from the first to the last iteration of a step."""

    CONSTANT = "constant"
    """Not at all."""
    COSINE = "cosine"
    """It falls to a hundredth as half a cosine does."""
    ONE_CYCLE = "one-cycle"
    """It rises from a 25th, over three tenths of the iterations, and falls to nothing."""
