"""A run in 50 000 dimensions takes memory for samples and parameters, not for matrices."""

from __future__ import annotations

import subprocess
import sys

_RUN_FILE = """
[problem]
dimension = 50_000
until = 0.1
start = { covariance = 0.25 }
energy = [{ kind = "quadratic", covariance = 2.0, mean = 1.0 }, { kind = "entropy", beta = 0.5 }]
[[map]]
kind = "scaling"
[method]
samples = 24
step = 0.1
scheme = "heun"
[output]
every = 0.1
"""
_PROGRAM = """
import resource, sys
import hpc_wgf as wgf

summary = wgf.solve(*wgf.load_problem(sys.argv[1])).summary
print(summary.map_error_relative[-1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_scaling_map_in_many_dimensions(tmp_path):
    """One matrix of (50 000)² numbers takes 20 GB."""
    run_file = tmp_path / "wide.toml"
    run_file.write_text(_RUN_FILE)
    program = [sys.executable, "-c", _PROGRAM, str(run_file)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    error, kibibytes = done.stdout.split()
    assert float(error) < 0.01
    assert int(kibibytes) < 2 * 2**20
