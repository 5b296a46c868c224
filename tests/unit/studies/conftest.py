"""Runs in the process of the tests, which is faster than in ones of their own."""

from __future__ import annotations

import pytest
from processes import here

from hpc_wgf.studies import jobs


@pytest.fixture(scope="module")
def ran():
    """The names of the runs that have been carried out, by `carry_out` as here it is."""
    names: list[str] = []

    def carry_out(runs, options, *, at_once, tell, stop):
        for files in runs:
            names.append(files.name)
            done = here(*jobs.command_of(files, options)[3:])
            files.log.write_text(done.stderr)
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "carry_out", carry_out)
        yield names
