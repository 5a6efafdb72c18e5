"""Graphs of many nodes: time and memory that grow as they do, and no recursion."""

import builtins
import copy
import gc
import pickle
import subprocess
import time

import numpy as np
import pytest
from processes import python

from fastbp import graph


def chain(length: int) -> tuple[graph.Node, graph.Node]:
    x = graph.variable(1.0, "x")
    y = x
    for _ in range(length):
        y = y * 1.00001
    return x, y


def test_a_chain_of_30_000_nodes() -> None:
    x, y = chain(30_000)
    y.backward()
    assert x.grad == y.value == pytest.approx(np.exp(0.3), rel=1e-4)
    assert "29,961 nodes in between are left out" in str(y)
    assert len(str(y).splitlines()) == 42
    told = y.explain(x)
    assert "29,980 factors are left out" in told
    assert f"= {y.value!r}" in told
    del x, y
    gc.collect()


def test_copies_of_a_long_chain() -> None:
    _, y = chain(10_000)
    for other in (copy.deepcopy(y), pickle.loads(pickle.dumps(y)), y.opened()):
        assert other.value == y.value
        other.backward()
        assert len(str(other).splitlines()) == 42


def test_time_is_linear() -> None:
    """100 times the nodes take less than 1,000 times as long; quadratic would be 10,000."""

    def seconds(length: int) -> float:
        _, y = chain(length)
        begun = time.process_time()
        y.backward()
        return time.process_time() - begun

    assert min(seconds(20_000) for _ in range(2)) < 1000 * np.median([seconds(200) for _ in range(20)])


def test_paths_don_t_cost_time() -> None:
    x = graph.variable(1.0, "x")
    y = x
    for _ in range(300):
        y = y + y
    y.backward()
    assert x.grad == 2.0**300
    assert "the sum over more than 1e18 paths; the first 20 are written out" in y.explain(x)


def test_copies_share_what_their_graphs_share() -> None:
    x = graph.variable(3.0, "x")
    y, z = x * 2, x * 5
    y.backward()
    x2, y2, z2 = copy.deepcopy((x, y, z))
    assert y2.inputs[0] is x2 is z2.inputs[0] is not x
    assert (x2.grad, x2.op, str(y2)) == (2, "variable", str(y))
    z2.backward()
    assert (x2.grad, x.grad) == (5, 2)
    again = pickle.loads(pickle.dumps(y))
    assert str(again) == str(y)
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(graph.variable(np.ones((2, 3))))).value[0] = 0


def test_public_names() -> None:
    assert set(graph.__all__) & set(dir(builtins)) == set()
    for name in graph.__all__:
        assert (getattr(graph, name).__doc__ or "").strip(), name


def test_numba_is_not_imported() -> None:
    code = """
        import sys, numpy as np
        from fastbp import graph
        x = graph.variable(np.ones((2, 3)), "x")
        loss = graph.softmax_loss(graph.affine(x, np.ones((3, 2)), 0), [0, 1])
        loss.backward(); str(loss); loss.explain(x); loss.opened()
        print(sorted({"numba", "llvmlite", "matplotlib", "fast_sugiyama", "typer"} & set(sys.modules)))
    """
    assert python(code, how=subprocess.Popen) == "[]\n"
