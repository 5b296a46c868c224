"""`python -m hpc_wgf …`, for torchrun and other launchers."""

from .cli import main

if __name__ == "__main__":
    main()
