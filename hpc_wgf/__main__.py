"""`python -m hpc_wgf …`, for torchrun and other launchers."""

import os
import sys

# `python -m` puts the working folder in front, where anybody's matplotlib.py would be taken for the
# library. Modules that a run file names are found there all the same, see `load_object`.
if not sys.flags.safe_path and sys.path[:1] in ([""], [os.getcwd()]):
    del sys.path[0]

from .cli import main

if __name__ == "__main__":
    main()
