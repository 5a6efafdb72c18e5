"""Functions of `common` that are replaced while a script runs: what uses them is the owner's own from then on."""

import re

import numpy as np
import pytest
from book_scripts import TRAINING, Project, numbers

pytestmark = pytest.mark.command

STEPS = """
for _ in range(3):
    grads = net.gradient(x, t)
    for key in grads: net.params[key] -= 0.1 * grads[key]
print(net.loss(x, t), net.lastLayer.y.sum(), net.accuracy(x, t))
"""
CALLED = """
from functools import wraps
count = [0]
def counted(function):
    @wraps(function)
    def call(*arguments):
        count[0] += 1
        return function(*arguments)
    return call
"""
# What the script does, and what the last line says is the owner's.
SCRIPTS = {
    "a function of the module that has the layer": (
        TRAINING
        + STEPS
        + "import common.layers\ncommon.layers.softmax = lambda a: np.full_like(a, 0.1)\n"
        + STEPS
        + "print(SoftmaxWithLoss().forward(np.ones((300, 10)), t))",
        "common.layers: SoftmaxWithLoss (uses softmax)",
    ),
    "between forward and backward": (
        TRAINING
        + "import common.layers\nnet.loss(x, t)\ncommon.layers.cross_entropy_error = lambda y, t: 7.0\n"
        + "print(np.abs(net.lastLayer.backward()).sum(), net.loss(x, t))\n",
        "common.layers: SoftmaxWithLoss (uses cross_entropy_error)",
    ),
    "before the layers are imported": (
        "import numpy as np\nimport common.functions as F\nF.sigmoid = lambda a: 0 * a + 0.25\n"
        "from common.layers import *\nprint(Sigmoid().forward(np.ones(2)), sigmoid(np.ones(2)), F.sigmoid_grad(1.0))",
        "common.functions: sigmoid_grad (uses sigmoid); common.layers: Sigmoid (uses sigmoid)",
    ),
    "one that counts, named as what it calls": (
        TRAINING + CALLED + "import common.layers as L\nL.softmax = counted(L.softmax)\n" + STEPS + "print(count)\n",
        "common.layers: SoftmaxWithLoss (uses softmax)",
    ),
    "in the trainer's network, and again later": (
        TRAINING
        + """
import common.layers as L
for change in ("", "L.softmax = lambda a: np.full_like(a, 0.1)", "L.softmax = softmax"):
    exec(change)
    trainer = Trainer(net, x, t, x, t, epochs=2, mini_batch_size=50, verbose=False)
    trainer.train()
    print(np.sum(trainer.train_loss_list), trainer.test_acc_list)
""",
        "common.layers: SoftmaxWithLoss (uses softmax)",
    ),
    "what a convolution works with, deleted at last": (
        """
        import common.layers
        from common.layers import *
        layers = [Convolution(np.ones((2, 3, 2, 2)), np.zeros(2)), Pooling(2, 2), BatchNormalization(1.0, 0.0)]
        x = np.random.RandomState(0).rand(2, 3, 5, 5)
        def through():
            out = x
            for layer in layers: out = layer.forward(out)
            dout = out
            for layer in reversed(layers): dout = layer.backward(dout)
            print(np.abs(out).sum(), np.abs(dout).sum(), layers[0].dW.sum(), layers[0].col.shape, layers[1].arg_max[:2])
        through()
        common.layers.im2col = lambda *a: 2 * im2col(*a)
        through()
        del common.layers.im2col
        try: layers[0].forward(x)
        except NameError as error: print(error)
        """,
        "common.layers: Convolution and Pooling (uses im2col)",
    ),
    "functions that were imported before": (
        "import numpy as np, pickle\nimport common.functions as F\nfrom common.functions import *\n"
        "y, t = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([1, 0])\nprint(softmax_loss(y, t))\n"
        "F.softmax = lambda a: 0 * a + 0.5\nprint(softmax_loss(y, t), F.softmax_loss(y, t), sigmoid_grad(y))\n"
        "print(pickle.loads(pickle.dumps(softmax_loss)) is softmax_loss, softmax_loss.__module__)",
        "common.functions: softmax_loss (uses softmax)",
    ),
    "a class of a network": (
        """
        import common.multi_layer_net as M
        from common.layers import *
        class Half(SoftmaxWithLoss):
            def forward(self, x, t): return super().forward(x, t) / 2
        M.SoftmaxWithLoss = Half
        np.random.seed(0)
        net = M.MultiLayerNet(6, [5], 3)
        x, t = np.random.rand(4, 6), np.array([0, 1, 2, 0])
        print(type(net.last_layer).__name__, net.loss(x, t), net.gradient(x, t)['W1'].sum())
        """,
        "common.multi_layer_net: MultiLayerNet (uses SoftmaxWithLoss)",
    ),
    "NumPy's place": (
        """
        import numpy, types
        import common.layers as L
        relu, affine = L.Relu(), L.Affine(numpy.ones((2, 2)), numpy.zeros(2))
        L.np = types.SimpleNamespace(**vars(numpy) | {'dot': lambda a, b: 3 * (a @ b)})
        print(relu.forward(numpy.array([[-1.0, 2.0]])), affine.forward(numpy.ones((1, 2))))
        """,
        "(uses np)",
    ),
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_by_the_script(what: str, japanese: Project) -> None:
    text, said = SCRIPTS[what]
    script = japanese.write(text)
    output, last = japanese.fastbp(script)
    same_as(japanese.plain(script), output)
    assert said in last


LAYERS = "from common.layers import *\nprint(Sigmoid().forward(np.ones(2)), Relu().forward(np.ones(2)))\n"
MINE = "lambda a: 0 * a + 0.25"


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("__init__", "from common import patches\n"),
        ("util", f"import common.functions\nsetattr(common.functions, 'sigmoid', {MINE})\n"),
        ("layers", f"def f(sigmoid): return sigmoid\n@lambda f: setattr(sys.modules[__name__], 'sigmoid', {MINE})\n"),
        ("layers", f"class Kept:\n    import common.layers as here\n    here.sigmoid = {MINE}\n"),
        ("layers", f"kept = sys.modules[__name__].__dict__.update(sigmoid={MINE})\n"),
    ],
    ids=["a patching package", "a patching module", "a decorator", "a body of a class", "a variable"],
)
def test_by_the_owners_package(module: str, text: str, japanese: Project) -> None:
    common = japanese.folder / "common"
    (common / "patches.py").write_text(f"import common.functions as F\nF.sigmoid = {MINE}\n")
    text = text + "def added(): pass\n" if text.startswith("def") else text
    (common / f"{module}.py").write_text((common / f"{module}.py").read_text() + f"\nimport sys\n{text}")
    script = japanese.write("import common.util\n" + LAYERS)
    output, last = japanese.fastbp(script)
    same_as(japanese.plain(script), output)
    assert "0.25" in output
    assert "Sigmoid (uses sigmoid)" in last


def test_what_only_an_annotation_needs(japanese: Project) -> None:
    japanese.change("functions", "def sigmoid(x)", "def sigmoid(x: np.ndarray)")
    script = japanese.write(
        "import types, numpy\nimport common.functions as F\nF.np = types.SimpleNamespace(exp=numpy.exp)\n"
        "print(F.sigmoid(0.0))\n"
    )
    output, last = japanese.fastbp(script)
    assert output == japanese.plain(script) == "0.5\n"
    assert "(uses np)" in last


def test_a_package_that_is_imported_anew(japanese: Project) -> None:
    script = japanese.write(
        "import common.layers as L\nimport numpy as np\nL.sigmoid = abs\nprint(L.Sigmoid().forward(np.ones(2)))\n"
        "for name in [name for name in sys.modules if name.startswith('common')]: del sys.modules[name]\n" + LAYERS
    )
    output, _ = japanese.fastbp(script)
    same_as(japanese.plain(script), output)


def test_what_cannot_be_seen_is_said(japanese: Project) -> None:
    script = japanese.write(LAYERS + "import common.layers\nvars(common.layers)['softmax'] = abs\n")
    assert "common.layers.softmax was replaced, and SoftmaxWithLoss did not use it" in japanese.fastbp(script)[1]
    for module in ("common", "dataset"):
        (japanese.folder / module).rename(japanese.folder / f"no_{module}")
    assert "common.layers.softmax was replaced, and fastbp's own did not use it" in japanese.fastbp(script)[1]


def same_as(plain: str, output: str) -> None:
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.sub(r"\d+\.\d+", "", output) == re.sub(r"\d+\.\d+", "", plain)
