"""`python -m hpc_wgf.guide`: writes the generated sections of README and guide anew, and with the
word `pictures` those pictures of theirs that are drawn from records.

It works on the checkout that this package lies in, as its records are not part of the package.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import InputError
from . import sampling
from .generated import pages_of, regenerated


def main() -> None:
    """Rewrite the pages that have changed, and name them."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "data" / "runs").is_dir():
        raise InputError(f"{checkout} holds no data/runs: run this from a checkout of the project")
    if sys.argv[1:] == ["pictures"]:
        sampling.draw(checkout / "data")
    for page in pages_of(checkout):
        text = regenerated(page, checkout)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            print(page.relative_to(checkout))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
