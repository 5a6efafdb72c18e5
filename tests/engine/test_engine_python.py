"""Without compilation: the loop takes the steps as Python, and an access outside of an array is an error."""

from processes import python

CODE = """
import numpy as np
import fastbp

rng = np.random.default_rng(0)
x, t = rng.standard_normal((20, 6)), rng.integers(0, 3, 20)
nets = [fastbp.TwoLayerNet(6, 4, 3, 0.5, rng=np.random.default_rng(1)) for _ in range(2)]
step, by_hand = fastbp.compile(nets[0], fastbp.Adam(), strict=True), fastbp.Adam()
order = rng.integers(0, 20, (5, 4))
losses = step.run(x, t, order)
for batch, loss in zip(order, losses):
    expected, gradients = nets[1].loss_and_gradient(x[batch], t[batch])
    by_hand.update(nets[1].params, gradients)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
for name, array in nets[0].params.items():
    np.testing.assert_allclose(array, nets[1].params[name], rtol=1e-10)
np.testing.assert_allclose(fastbp.predict(nets[0], x), nets[0].predict(x), rtol=1e-12)
others = [fastbp.TwoLayerNet(6, 4, 3) for _ in range(2)]
assert fastbp.fit_many(others, [fastbp.SGD(), fastbp.SGD()], x, t, order).shape == (2, 5)
print(step.report().splitlines()[0])
"""

WRONG = """
import numpy as np
import fastbp
from fastbp.kernels import sigmoid

whole = sigmoid.forward_elements
sigmoid.forward_elements = lambda lo, hi, *others: whole(lo, hi + 1, *others)  # one element past the end
net = fastbp.TwoLayerNet(6, 64, 3, 0.5)
net.layers["Sigmoid"] = fastbp.Sigmoid()
step = fastbp.compile(net, fastbp.SGD(), strict=True)
try:
    step.run(np.ones((4, 6)), np.zeros(4, int), [[0, 1, 2, 3]])
except IndexError as error:
    print(error)
"""


def test_the_loop_as_python() -> None:
    title = "one step of 100 samples in float64, as Python: NUMBA_DISABLE_JIT is set"
    assert python(CODE, NUMBA_DISABLE_JIT="1") == f"{title}\n"


def test_a_wrong_part_of_the_loop_is_caught() -> None:
    assert python(WRONG, NUMBA_DISABLE_JIT="1") == "index 12 is out of bounds for an array of 12 float64\n"
