"""`fastbp run` with options, and in a notebook."""

import json
import re

import numpy as np
import pytest
from book_scripts import TRAINING, Project, numbers

from fastbp.book.known import forms_of
from fastbp.book.settings import Settings, modules_of

pytestmark = pytest.mark.command


def test_compare(project: Project) -> None:
    script = project.write(
        TRAINING
        + """
optimizer = Nesterov(0.1)
for i in range(5):
    optimizer.update(net.params, net.gradient(x, t))
print(net.loss(x, t), np.random.rand())
"""
    )
    output, last = project.fastbp("--compare", 3, script)
    np.testing.assert_allclose(numbers(output), numbers(project.plain(script)), rtol=1e-9)
    found = re.search(r"largest difference from the script's own on the first 3 batches: (\S+) \((.*)\)", last)
    assert found
    assert 0 < float(found[1]) < 1e-12


def test_compare_follows_what_a_subclass_changes(japanese: Project) -> None:
    script = japanese.write(
        """
        from common.layers import *
        class Other(Relu):
            def forward(self, x):
                out = super().forward(x)
                self.mask = ~self.mask
                return out
        class Doubled(Sigmoid):
            def forward(self, x):
                out = super().forward(x)
                self.out[:] *= 2
                return out
        x = np.random.RandomState(0).randn(5, 6)
        for layer in (Other(), Doubled()):
            layer.forward(x)
            print(layer.backward(np.ones((5, 6))).sum())
        """
    )
    output, last = japanese.fastbp("--compare", 3, script)
    np.testing.assert_allclose(numbers(output), numbers(japanese.plain(script)), rtol=1e-9)
    found = re.search(r"on the first 3 batches: (\S+) ", last)
    assert found
    assert float(found[1]) < 1e-12


def test_compare_of_layers_without_a_hash(japanese: Project) -> None:
    """And what is kept of a layer to compare it: nothing when its turns are over, or it is no more."""
    script = japanese.write(
        """
        from common.layers import *
        class Equal(Relu):
            def __eq__(self, other): return isinstance(other, Equal)
        x = np.random.RandomState(0).randn(5, 6)
        layers = [Equal(), Equal(), Relu()]
        for _ in range(3):
            for layer in layers: print(layer.backward(layer.forward(x) * 0.5).sum())
        if 'fastbp' in sys.modules:
            from fastbp.book.comparison import _seen
            assert [(each.twin, each.left) for each in _seen.values()] == [(None, {})] * 3
            del layer, layers[1:]
            assert list(_seen) == [id(layers[0])]
        """
    )
    output, last = japanese.fastbp("--compare", 2, script)
    np.testing.assert_allclose(numbers(output), numbers(japanese.plain(script)), rtol=1e-9)
    assert "on the first 2 batches: 0.0e+00" in last


def test_compare_tells_of_a_difference(japanese: Project) -> None:
    """An owner says that a layer is the book's, and it isn't."""
    japanese.change("layers", "np.dot(self.x, self.W) + self.b", "np.dot(self.x, self.W) + 2 * self.b")
    forms = forms_of(japanese.folder / "common")
    (japanese.folder / "forms.json").write_text(json.dumps(forms))
    script = japanese.write(TRAINING + "net.params['b1'] += 1\nprint(net.loss(x, t))\n")
    assert re.search(
        r"first 1 batches: [1-9]\.\de[-+]\d\d \(Affine.forward\)", japanese.fastbp("--compare", 1, script)[1]
    )


def test_compare_imports_the_owners_modules_unnoticed(japanese: Project) -> None:
    """They print and set something as they are imported, which the script, whose own import is over, sets anew."""
    japanese.change(
        "util",
        "import numpy as np",
        "import random, warnings\nimport numpy as np\nprint('util is imported')\nnp.random.seed(0)\nrandom.seed(0)\n"
        "np.set_printoptions(precision=3)\nnp.seterr(all='raise')\nwarnings.simplefilter('error')",
    )
    script = japanese.write(
        """
        import random, warnings
        from common.layers import *
        np.random.seed(7)
        random.seed(7)
        np.set_printoptions(precision=5)
        np.seterr(all='ignore')
        warnings.simplefilter('ignore')
        layer = Dropout(0.5)
        print(layer.forward(np.ones((2, 4))), layer.forward(np.ones((2, 4))), np.random.rand(), random.random())
        warnings.warn('ignored')
        print(np.ones(2) / 3, np.geterr())
        """
    )
    output, last = japanese.fastbp("--compare", 2, script)
    assert output == japanese.plain(script)
    assert "on the first 2 batches: 0.0e+00 (Dropout.forward)" in last


def test_kernels_in_float32(project: Project) -> None:
    script = project.write(
        TRAINING
        + """
W = net.params['W1']
for i in range(20):
    grads = net.gradient(x, t)
    for key in grads: net.params[key] -= 0.1 * grads[key]
layer, last = net.layers['Affine1'], net.lastLayer
assert layer.W is W is net.params['W1'] and W.dtype == np.float64
assert np.shares_memory(layer.x, x) and layer.x.dtype == np.float32
assert {name: grads[name].dtype.name for name in grads} == dict.fromkeys(grads, 'float64')
assert net.predict(x).dtype == last.y.dtype == last.backward(1).dtype == np.float64
assert last.t is t
s = Sigmoid()
out = s.forward(np.ones((2, 3)))
assert s.out is out and out.dtype == s.backward(out).dtype == np.float64
assert Relu().forward(x).dtype == np.float32
images = np.ones((3, 2, 80, 80))
convolution = Convolution(np.ones((2, 2, 3, 3)), np.zeros(2))
convolution.forward(images)
assert convolution.x is images
print(net.loss(x, t), grads['W1'].sum())
"""
    )
    plain = numbers(project.plain(script))
    single, double = (numbers(project.fastbp("--dtype", dtype, script)[0]) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(double, plain, rtol=1e-9)
    np.testing.assert_allclose(single, plain, rtol=1e-4)
    assert single != double


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_trainer_in_float32(optimizer: str, japanese: Project) -> None:
    """By the layers, whose kernels then compute in float32: the losses of the same steps written out, bit by bit."""
    begin = """
        from common.layers import *
        from common.multi_layer_net import MultiLayerNet
        from common.optimizer import *
        from common.trainer import Trainer
        rng = np.random.default_rng(2)
        x, t = rng.random((400, 200)).astype(np.float32), rng.integers(0, 10, 400)
        np.random.seed(1)
        net = MultiLayerNet(200, [100, 90], 10)
        W = net.params['W1']
    """
    trained = f"""
        trainer = Trainer(net, x, t, x, t, 2, 100, {optimizer!r}, {{'lr': 0.01}}, verbose=False)
        trainer.train()
        assert net.params['W1'] is W is net.layers['Affine1'].W and W.dtype == np.float64
        print(*trainer.train_loss_list, W.sum())
    """
    written_out = f"""
        optimizer = {optimizer}(lr=0.01)
        for step in range(8):
            batch = np.random.choice(400, 100)
            optimizer.update(net.params, net.gradient(x[batch], t[batch]))
            print(net.loss(x[batch], t[batch]))
        print(W.sum())
    """
    by_trainer, by_hand = (
        japanese.write(begin + each, name) for each, name in ((trained, "a.py"), (written_out, "b.py"))
    )
    single, same, double = (
        numbers(japanese.fastbp(*options)[0])
        for options in (("--dtype", "float32", by_trainer), ("--dtype", "float32", by_hand), (by_trainer,))
    )
    plain = numbers(japanese.plain(by_trainer))
    np.testing.assert_allclose(double, plain, rtol=1e-9)
    np.testing.assert_allclose(single, plain, rtol=1e-4)
    assert single == same != double


def test_what_float64_weights_give_with_float32_arrays(japanese: Project) -> None:
    """dx as in plain Python, and the parameters' gradients in the dtype of the parameters."""
    script = japanese.write(
        """
        from common.layers import *
        W, x = np.random.rand(128, 128), np.random.rand(3, 128).astype(np.float32)
        layer = Affine(W, np.zeros(128))
        out = layer.forward(x)
        print(out.dtype, layer.backward(x).dtype, layer.dW.dtype, layer.db.dtype)
        """
    )
    assert japanese.plain(script).split() == ["float64", "float64", "float32", "float32"]
    for options in ((), ("--dtype", "float32")):
        assert japanese.fastbp(*options, script)[0].split() == ["float64"] * 4


def test_later_layers_in_float32(japanese: Project) -> None:
    script = japanese.write(
        """
        from common.layers import *
        np.random.seed(3)
        x, W = np.random.randn(150, 2, 8, 8), np.random.randn(2, 2, 3, 3)
        gamma = np.ones(32)
        layers = [Convolution(W, np.zeros(2), pad=1), Pooling(2, 2), Dropout(0.3), BatchNormalization(gamma, 0 * gamma)]
        for _ in range(2):
            out = x
            for layer in layers: out = layer.forward(out)
            dout = out ** 2
            for layer in reversed(layers): dout = layer.backward(dout)
        assert layers[0].W is W and layers[3].gamma is gamma
        kept = (out, dout, layers[0].dW, layers[0].db, layers[3].dgamma, layers[3].running_mean, layers[3].running_var)
        assert {array.dtype.name for array in kept} == {'float64'}
        for array in kept: print(np.abs(array).sum())
        """
    )
    plain = numbers(japanese.plain(script))
    single = numbers(japanese.fastbp("--dtype", "float32", script)[0])
    np.testing.assert_allclose(single, plain, rtol=1e-4)
    assert single != plain


def test_an_interrupt_at_any_moment_leaves_the_scripts_own_arrays(japanese: Project) -> None:
    """At each step of Python's that `--dtype` takes around a call."""
    script = japanese.write(
        """
        from common.layers import *
        rng = np.random.default_rng(4)
        W, b, x, dout = rng.random((200, 100)), rng.random(100), rng.random((30, 200)), rng.random((30, 100))
        gamma = np.ones(900)
        affine, normalization = Affine(W, b), BatchNormalization(gamma, 0 * gamma)
        left = [0]

        def trace(frame, event, _):
            if not frame.f_code.co_filename.endswith('precision.py'): return None
            frame.f_trace_opcodes = True
            if event == 'opcode':
                left[0] -= 1
                if left[0] == 0: raise KeyboardInterrupt
            return trace

        def interrupted(moment, call, argument):
            left[0] = moment
            sys.settrace(trace)
            try: call(argument)
            except KeyboardInterrupt: return True
            finally: sys.settrace(None)
            return False

        images = rng.random((30, 900))
        for layer, inputs in ((affine, x), (normalization, images)):
            out = layer.forward(inputs)
            layer.backward(out)
            for call, argument in ((layer.forward, inputs), (layer.backward, out)):
                moment = 1
                while interrupted(moment, call, argument):
                    moment += 1
                    for name, value in vars(layer).items():
                        if isinstance(value, np.ndarray) and name[0] != '_': assert value.dtype == np.float64, name
                    assert affine.W is W and normalization.gamma is gamma
                assert moment > 100
        print(normalization.xc.dtype, normalization.xn.dtype, affine.x.dtype, np.shares_memory(affine.x, x))
        """
    )
    assert japanese.fastbp("--dtype", "float32", script)[0] == "float64 float64 float64 True\n"


def test_install_in_a_notebook(japanese: Project) -> None:
    script = japanese.write(
        """
        import fastbp.book
        fastbp.book.install()
        from common.layers import *
        from common.optimizer import SGD
        print(Relu.__module__, Relu.forward.__code__.co_filename.split(os.sep)[-2], np.ones(2))
        fastbp.book.install()
        """
    )
    assert japanese.plain(script).split()[0] == "common.layers"
    report = japanese.write(
        """
        import fastbp.book
        done = fastbp.book.install(only=['layers'], compare=2)
        print(done)
        done = fastbp.book.install(only='common.layers, functions', compare=2)
        from common.layers import *
        Relu().forward(np.ones(2))
        print(done)
        fastbp.book.install(only='layers,functions', compare=2, dtype='float32')
        """,
        "report.py",
    )
    again = japanese.run(report)
    assert again.stdout.splitlines()[0] == "fastbp: nothing was replaced yet; nothing was compared"
    assert re.fullmatch(
        r"fastbp: 1 call served by kernels \(ja edition\); .*largest difference .* 0\.0e\+00 \(Relu.forward\)",
        again.stdout.splitlines()[1],
    )
    assert "common.functions was imported by Settings(" in again.stderr
    assert "for other arguments call fastbp.book.install() before the first import" in again.stderr
    late = japanese.write("import common.layers, fastbp.book\nfastbp.book.install()\n", "late.py")
    assert "common.functions was imported before: call fastbp.book.install() first" in japanese.run(late).stderr
    wrong = japanese.write("import fastbp.book\nfastbp.book.install('fr')\n", "wrong.py")
    assert "dialect must be one of auto, ko, ja, got 'fr'" in japanese.run(wrong).stderr


def test_settings_that_are_none() -> None:
    with pytest.raises(TypeError, match="only must hold names of modules, got 1"):
        modules_of([1])  # type: ignore[list-item]
    for arguments, message in {
        ("fr",): "dialect must be one of auto, ko, ja, got 'fr'",
        ("ja", modules_of("layers,layer")): "only must name modules of functions, .*, got 'layer'",
        ("ja", (), -1): "compare must be at least 0, got -1",
        ("ja", (), 1.5): "compare must be an integer, got 1.5",
        ("ja", (), 0, "float16"): "dtype must be float32 or float64, got 'float16'",
    }.items():
        with pytest.raises((TypeError, ValueError), match=message):
            Settings(*arguments)
    assert modules_of("layers, common.optimizer,") == modules_of(["layers", "optimizer"]) == ("layers", "optimizer")


def test_what_is_the_same_is_ours() -> None:
    import fastbp
    from fastbp.book import functions, layers, optimizer, util

    assert layers.Affine is fastbp.Affine
    assert optimizer.Adam is fastbp.Adam
    assert functions.sigmoid is fastbp.functions.sigmoid
    assert util.im2col is fastbp.util.im2col
    assert layers.np is np
    assert (util.conv_output_size(28, 5), util.conv_output_size(6, 3, 2)) == (24.0, 2.5)  # the book's are floats
