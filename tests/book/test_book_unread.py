"""The first layer's dx under `fastbp run`: left out where `gradient` is proved not to read it, and nowhere else."""

import numpy as np
import pytest
from book_scripts import DIGITS, TWO_LAYER_NET, Project, numbers

pytestmark = pytest.mark.command

NET = (
    "from collections import OrderedDict\nfrom common.layers import *\n"
    + TWO_LAYER_NET
    + DIGITS
    + """
x, t = digits()
np.random.seed(0)
net = TwoLayerNet(64, 20, 10)
first = net.layers['Affine1']
def made():
    returned = []  # by methods of the first layer
    def note(frame, event, result):
        if event == 'return' and frame.f_locals.get('self') is first: returned.append(result)
    sys.setprofile(note)
    grads = net.gradient(x, t)
    sys.setprofile(None)
    return returned[-1] is None, grads
"""
)


@pytest.mark.parametrize("options", [(), ("--dtype", "float64"), ("--dtype", "float32")])
def test_dx_is_left_out_and_the_gradients_are_the_same(options: tuple[str, ...], japanese: Project) -> None:
    script = japanese.write(
        NET
        + """
before = first.dW
is_none, grads = made()
print(is_none, first.dW is grads['W1'] and first.dW is not before, grads['W1'].dtype, grads['b1'].dtype)
for _ in range(3):
    grads = net.gradient(x, t)
    for key in grads: net.params[key] -= 0.1 * grads[key]
print(*[np.abs(grads[key]).sum() for key in grads], net.loss(x, t))
"""
    )
    output, _ = japanese.fastbp(*options, script)
    assert output.splitlines()[0] == "True True float64 float64"
    assert japanese.plain(script).splitlines()[0] == "False True float64 float64"
    np.testing.assert_allclose(
        numbers(output), numbers(japanese.plain(script)), rtol=1e-4 if "float32" in options else 1e-9
    )


@pytest.mark.parametrize("options", [(), ("--dtype", "float64"), ("--dtype", "float32")])
def test_networks_from_common_leave_it_out_too(options: tuple[str, ...], japanese: Project) -> None:
    script = japanese.write(
        NET.replace("net = TwoLayerNet(64, 20, 10)", "net = MultiLayerNet(64, [20, 15], 10)").replace(
            "import *", "import *\nfrom common.multi_layer_net import MultiLayerNet", 1
        )
        + """
is_none, grads = made()
print(is_none, grads['W1'].dtype)
print(*[np.abs(grads[key]).sum() for key in grads])
"""
    )
    output, _ = japanese.fastbp(*options, script)
    assert output.splitlines()[0] == "True float64"
    assert japanese.plain(script).splitlines()[0] == "False float64"
    np.testing.assert_allclose(
        numbers(output), numbers(japanese.plain(script)), rtol=1e-4 if "float32" in options else 1e-9
    )


READERS = {
    "called by hand": "",
    "a gradient that keeps it": "TwoLayerNet.gradient = keeps",
    "a gradient that prints": "TwoLayerNet.gradient = prints",
    "a layer in front, put there later": "net.gradient(x, t); net.layers = OrderedDict("
    "[('front', Front()), *net.layers.items()])",
}


@pytest.mark.parametrize("reader", READERS)
def test_who_reads_dx_gets_it(reader: str, japanese: Project) -> None:
    script = japanese.write(
        NET
        + f"""
class Front:
    def forward(self, x): return x * 2
    def backward(self, dout):
        self.dx = dout * 2
        return self.dx
kept = []
def keeps(self, x, t):
    self.loss(x, t)
    dout = self.lastLayer.backward(1)
    for layer in reversed(list(self.layers.values())): dout = layer.backward(dout)
    self.dx = dout
    return {{key: getattr(self.layers['Affine' + key[1]], 'd' + key[0]) for key in self.params}}
def prints(self, x, t):
    self.loss(x, t)
    dout = self.lastLayer.backward(1)
    for layer in reversed(list(self.layers.values())): dout = layer.backward(dout)
    print(dout.sum())
    return {{key: getattr(self.layers['Affine' + key[1]], 'd' + key[0]) for key in self.params}}
net.gradient(x, t)
{READERS[reader]}
net.gradient(x, t)
print(getattr(net, 'dx', np.zeros(1)).sum(), getattr(net.layers.get('front'), 'dx', np.zeros(1)).sum())
net.loss(x, t)
dout = net.lastLayer.backward(1)
for layer in reversed(list(net.layers.values())): dout = layer.backward(dout)
print(dout.shape, dout.dtype, np.abs(dout).sum())
"""
    )
    output, _ = japanese.fastbp(script)
    plain = japanese.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9, atol=1e-15)


def test_networks_that_rebind_their_parameters_and_come_by_the_dozen(japanese: Project) -> None:
    script = japanese.write(
        NET
        + """
for n in range(40):
    grads = net.gradient(x, t)
    for key in net.params: net.params[key] = net.params[key] - 0.1 * grads[key]
    for layer, n in (('Affine1', '1'), ('Affine2', '2')):
        net.layers[layer].W, net.layers[layer].b = net.params['W' + n], net.params['b' + n]
nets = [TwoLayerNet(64, 20, 10) for _ in range(12)]
print(net.loss(x, t), *[np.abs(each.gradient(x, t)['W1']).sum() for _ in range(2) for each in nets])
"""
    )
    np.testing.assert_allclose(numbers(japanese.fastbp(script)[0]), numbers(japanese.plain(script)), rtol=1e-9)
