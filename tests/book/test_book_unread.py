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


# What `gradient` does when it is called otherwise than it was proved for: the class, and a call that returns dx.
GRADIENT = """
    def gradient(self, x, t{arguments}):
        {begin}
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())): dout = layer.backward(dout)
        {end}
        return {{key: getattr(self.layers['Affine' + key[1]], 'd' + key[0]) for key in ('W1', 'b1', 'W2', 'b2')}}
"""
OTHER_CALLS = {
    "an optional argument": (", input_too=False", "", "if input_too: return dout", "net.gradient(x, t, True)"),
    "one by its name alone": (", *, store=None", "", "if store is not None: store.append(dout)", "stored()"),
    "arguments without a name": (", *more", "", "if more: return dout", "net.gradient(x, t, 1)"),
    "no labels": ("", "if t is None: return self.of(x)", "", "net.gradient(x, None)"),
    "labels that it replaces": (
        "",
        "none = t is None\n        if none: t = self.labels",
        "if none: return dout",
        "net.gradient(x, None)",
    ),
    "another self": (
        "",
        "keep = self.keep\n        if self.inner is not None: self = self.inner",
        "if keep: return dout",
        "outer().gradient(x, t)",
    ),
    "the same code among other globals": ("", "", "if KEEP: return dout", "elsewhere()"),
}


@pytest.mark.parametrize("call", OTHER_CALLS)
def test_a_call_that_the_proof_is_not_of(call: str, japanese: Project) -> None:
    arguments, begin, end, reader = OTHER_CALLS[call]
    gradient = GRADIENT.format(arguments=arguments, begin=begin or "pass", end=end or "pass")
    script = japanese.write(
        NET.replace("net = TwoLayerNet(64", "net = Net(64").replace(
            "x, t = digits()",
            f"""
from types import FunctionType
KEEP = False
class Net(TwoLayerNet):
    inner, keep, labels = None, False, None
{gradient}
    def of(self, x):
        self.loss(x, Net.labels)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())): dout = layer.backward(dout)
        return dout
x, t = digits()
def stored():
    store = []
    net.gradient(x, t, store=store)
    return store[0]
def outer():
    made = Net(64, 20, 10)
    made.inner, made.keep = net, True
    return made
def elsewhere():
    return FunctionType(Net.gradient.__code__, globals() | {{'KEEP': True}})(net, x, t)
""",
        )
        + f"""
Net.labels = t
for _ in range(2): net.gradient(x, t)
dx = {reader}
print(dx.shape, np.abs(dx).sum(), np.abs(net.gradient(x, t)['W1']).sum())
"""
    )
    np.testing.assert_allclose(numbers(japanese.fastbp(script)[0]), numbers(japanese.plain(script)), rtol=1e-9)


def test_arguments_as_they_were_proved(japanese: Project) -> None:
    """By position, by name and left out, dx is still not computed."""
    gradient = GRADIENT.format(
        arguments=", input_too=False, *, note=None", begin="pass", end="if input_too: return dout"
    )
    script = japanese.write(
        NET.replace("net = TwoLayerNet(64", f"class Net(TwoLayerNet):{gradient}\nnet = Net(64").replace(
            "net.gradient(x, t)", "call()"
        )
        + """
for call in (
    lambda: net.gradient(x, t),
    lambda: net.gradient(x, t, False),
    lambda: net.gradient(t=t, x=x, input_too=False),
    lambda: net.gradient(x, t, note=None),
    lambda: net.gradient(x, t, note=0),
):
    print(made()[0])
"""
    )
    assert japanese.fastbp(script)[0].split() == ["True"] * 4 + ["False"]


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
