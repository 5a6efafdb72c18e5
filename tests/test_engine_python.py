"""Without compilation, for a debugger: the layers take the steps, and the reason says why."""

from processes import python

CODE = """
import numpy as np
import fastbp
from fastbp.engine import NotCompilable

rng = np.random.default_rng(0)
x, t = rng.standard_normal((20, 6)), rng.integers(0, 3, 20)
nets = [fastbp.TwoLayerNet(6, 4, 3, 0.5, rng=np.random.default_rng(1)) for _ in range(2)]
step, by_hand = fastbp.compile(nets[0], fastbp.Adam()), fastbp.Adam()
assert not step.compiled, step
order = rng.integers(0, 20, (5, 4))
losses = step.run(x, t, order)
for batch, loss in zip(order, losses):
    expected, gradients = nets[1].loss_and_gradient(x[batch], t[batch])
    by_hand.update(nets[1].params, gradients)
    assert loss == expected
for name, array in nets[0].params.items():
    np.testing.assert_array_equal(array, nets[1].params[name])
np.testing.assert_array_equal(fastbp.predict(nets[0], x), nets[0].predict(x))
assert step(x, t) > 0
for use in (
    lambda: fastbp.compile(nets[0], fastbp.SGD(), strict=True),
    lambda: fastbp.fit_many(nets, [fastbp.SGD(), fastbp.SGD()], x, t, order),
):
    try:
        use()
    except NotCompilable as error:
        assert "NUMBA_DISABLE_JIT" in str(error)
    else:
        raise AssertionError("compiled")
print(step.reason)
print(step.report().splitlines()[0])
"""


def test_the_layers_take_the_steps() -> None:
    reason, title = python(CODE, NUMBA_DISABLE_JIT="1").splitlines()
    assert reason.startswith("NUMBA_DISABLE_JIT is set")
    assert title == f"not compiled: {reason}"
