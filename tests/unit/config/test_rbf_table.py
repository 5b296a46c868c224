"""Tables of radial basis functions."""

from __future__ import annotations

import pytest

from hpc_wgf import InputError, RadialBasis, load_problem
from hpc_wgf.config import load


@pytest.mark.parametrize(
    ("name", "words", "centres"),
    [("heat-merging-1d", "", 32), ("ou-2d", "", 64), ("ou-2d", ", count=7, overlap=1.5", 7)],
)
def test_a_table_builds_its_map(name, words, centres):
    settings = [f'map=[{{kind="rbf"{words}}}]']
    map = load_problem(name, *settings).map
    assert type(map) is RadialBasis
    assert map.centres.shape == (centres, map.dimension)
    (table,) = load(name, settings).map
    assert table.parameters(map.dimension) == map.parameter_count()


def test_more_dimensions_are_refused_with_what_to_take():
    with pytest.raises(InputError, match=r"up to 3 dimensions, and this has 10: take a block"):
        load_problem("ou-10d", 'map=[{kind="rbf"}]')
