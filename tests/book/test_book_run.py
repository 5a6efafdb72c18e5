"""`fastbp run`: readers' scripts, in processes of their own, beside plain Python."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from book_scripts import DIGITS, TWO_LAYER_NET, Project
from mnist_real import REAL

from fastbp.book.known import forms_of

pytestmark = pytest.mark.command

IMPORTS = """
from collections import OrderedDict
from common.layers import *
from common.optimizer import *
from common.trainer import Trainer
"""
TRAINING = (
    IMPORTS
    + TWO_LAYER_NET
    + DIGITS
    + """
x, t = digits()
np.random.seed(0)
net = TwoLayerNet(64, 20, 10)
"""
)


@pytest.fixture(params=["ja", "ko"])
def project(request: Any, tmp_path: Path, environment: dict[str, str]) -> Project:
    return Project(tmp_path, environment, request.param)


@pytest.fixture
def japanese(tmp_path: Path, environment: dict[str, str]) -> Project:
    return Project(tmp_path, environment)


def numbers(output: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", output)]


# Results -------------------------------------------------------------------------------------------------------------


def test_a_training_of_chapter_5(project: Project) -> None:
    script = project.write(
        TRAINING
        + """
for i in range(100):
    batch = np.random.choice(len(x), 10)
    grad = net.gradient(x[batch], t[batch])
    for key in ('W1', 'b1', 'W2', 'b2'):
        net.params[key] -= 0.1 * grad[key]
    print(repr(float(net.loss(x[batch], t[batch]))))
assert net.params['W1'] is net.layers['Affine1'].W
assert grad['W1'].dtype == net.predict(x).dtype == np.float64, 'of float32 x and float64 W'
print(np.random.rand())
"""
    )
    output, last = project.fastbp(script)
    np.testing.assert_allclose(numbers(output), numbers(project.plain(script)), rtol=1e-9)
    assert re.search(r"fastbp: \d+\.\d s, 1,203 calls served by kernels \((ja|ko) edition\)", last)
    assert project.said == []


@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"])
def test_optimizers_and_a_parameter_that_is_a_number(optimizer: str, project: Project) -> None:
    script = project.write(
        f"""
        from common.optimizer import *
        optimizer = {optimizer}(lr=0.05)
        params, grads = {{'x': -7.0, 'y': 2.0, 'W': np.ones((2, 3))}}, {{}}
        W = params['W']
        for i in range(30):
            grads['x'], grads['y'] = params['x'] / 10.0, 2.0 * params['y']
            grads['W'] = 3 * params['W']
            optimizer.update(params, grads)
        print(params['x'], params['y'], *W.ravel())
        """
    )
    output, last = project.fastbp(script)
    np.testing.assert_allclose(numbers(output), numbers(project.plain(script)), rtol=1e-9)
    assert "left to the script" not in last


def test_trainer_prints_and_keeps_what_the_books_does(project: Project) -> None:
    script = project.write(
        TRAINING
        + """
trainer = Trainer(net, x, t, x[:77], t[:77], 3, 40, 'Nesterov', {'lr': 0.1, 'momentum': 0.8}, 150)
trainer.train()
print(trainer.current_epoch, trainer.current_iter, trainer.max_iter, len(trainer.train_loss_list))
print(trainer.train_acc_list, trainer.test_acc_list, trainer.train_loss_list[-3:])
print(net.layers['Affine1'].dW.sum(), np.random.rand())
"""
    )
    output, last = project.fastbp(script)
    plain = project.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.sub(r"\d+\.[\de-]+", "", output) == re.sub(r"\d+\.[\de-]+", "", plain)
    assert "common.trainer" not in last


def test_star_imports_bring_np_and_the_rest(project: Project) -> None:
    script = project.write(
        """
        from common.layers import *
        print(np.arange(3), softmax(np.array([1.0, 1.0])), im2col.__name__, relu(np.array([-1.0, 2.0])))
        import common.functions, common.util as util
        from common import gradient
        print(gradient.numerical_gradient(lambda v: np.sum(v ** 2), np.array([3.0, 4.0])).round(6))
        print(common.functions.cross_entropy_error(np.array([[0.1, 0.9]]), np.array([1])).round(6), os.sep, sys.maxsize)
        print(util.smooth_curve(np.arange(12.0)).shape, util.conv_output_size(28, 5), common.layers.np is np)
        print(common.functions.relu_grad(np.array([-1.0, 0.0, 1.0])), common.functions.step_function(np.array([-1, 1])))
        print(float(common.functions.sigmoid(0.0)), type(SoftmaxWithLoss().forward(np.ones((2, 3)), np.array([0, 1]))))
        """
    )
    output, _ = project.fastbp(script)
    assert output == project.plain(script)


def test_layers_that_are_rebound_copied_and_asked_for(project: Project) -> None:
    script = project.write(
        TRAINING
        + """
import copy
layers = [Affine(net.params['W1'], net.params['b1']), Relu(), Affine(net.params['W2'], 0)]
layers[0].W = layers[0].W * 2
twin = copy.deepcopy(net)
twin.params['W1'] *= 3
print([isinstance(layer, Affine) for layer in layers], [type(layer).__module__ for layer in layers])
out = x
for layer in layers:
    out = layer.forward(out)
print(out.sum(), net.loss(x, t), twin.loss(x, t), twin.layers['Affine1'].W is twin.params['W1'])
print(np.round(net.loss(x, t), 6), net.loss(x, np.eye(10)[t]))
"""
    )
    output, _ = project.fastbp(script)
    plain = project.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert output.splitlines()[0] == plain.splitlines()[0]


def test_pickles_cross_both_ways(project: Project) -> None:
    write = project.write(
        TRAINING
        + """
import pickle
optimizer = Adam(0.01)
optimizer.update(net.params, net.gradient(x, t))
dout = net.lastLayer.backward(1)
with open(sys.argv[1], 'wb') as f: pickle.dump((net, optimizer), f)
print(dout.sum(), net.loss(x, t))
""",
        "write.py",
    )
    read = project.write(
        TRAINING
        + """
import pickle
with open(sys.argv[1], 'rb') as f: net, optimizer = pickle.load(f)
print(type(net.layers['Affine1']) is Affine, type(net.lastLayer) is SoftmaxWithLoss, type(optimizer) is Adam)
print(net.lastLayer.backward(1)[0], net.loss(x, t), optimizer.iter)
optimizer.update(net.params, net.gradient(x, t))
print(net.loss(x, t), net.params['W1'].sum())
""",
        "read.py",
    )
    project.fastbp(write, "by_fastbp.pkl")
    project.plain(write, "by_python.pkl")
    assert b"fastbp" not in (project.chapter / "by_fastbp.pkl").read_bytes()
    results = [project.plain(read, file) for file in ("by_python.pkl", "by_fastbp.pkl")]
    results += [project.fastbp(read, file)[0] for file in ("by_python.pkl", "by_fastbp.pkl")]
    for result in results[1:]:
        assert result.splitlines()[0] == "True True True"
        np.testing.assert_allclose(numbers(result), numbers(results[0]), rtol=1e-9)


def test_the_layers_of_later_chapters(project: Project) -> None:
    script = project.write(
        """
        import pickle
        from common.layers import *
        np.random.seed(3)
        x = np.random.randn(6, 2, 8, 8)
        W = np.random.randn(2, 2, 3, 3)
        layers = [Convolution(W, 0, pad=1), Pooling(2, 2), Dropout(0.3), BatchNormalization(np.ones(32), np.zeros(32))]
        for flag in (True, True, False):
            out = x
            for layer in layers:
                takes_flag = isinstance(layer, Dropout) or isinstance(layer, BatchNormalization)
                out = layer.forward(out, flag) if takes_flag else layer.forward(out)
            print(np.abs(out).sum(), out.shape, np.random.rand())
            if flag:
                dout = out
                for layer in reversed(layers): dout = layer.backward(dout)
                print(np.abs(dout).sum(), dout.shape, layers[3].dgamma.sum(), layers[3].running_var.sum())
                print(layers[0].dW.sum())
        if len(sys.argv) > 1:
            with open(sys.argv[1], 'rb') as f: layers = pickle.load(f)
        else:
            with open('layers.pkl', 'wb') as f: pickle.dump(layers, f)
        out = layers[1].forward(layers[0].forward(x))
        print(layers[3].forward(layers[2].forward(out, False), False).sum(), layers[0].W.sum(), layers[0].col.shape)
        print(layers[1].arg_max[:3], layers[0].backward(layers[1].backward(out)).sum(), layers[0].db)
        """
    )
    plain = numbers(project.plain(script))
    output, last = project.fastbp("--compare", 2, script)
    np.testing.assert_allclose(numbers(output), plain, rtol=1e-9, atol=1e-11)
    found = re.search(r"largest difference .*: (\S+) \(", last)
    assert found
    assert float(found[1]) < 1e-12
    project.plain(script)  # writes the pickle again
    np.testing.assert_allclose(numbers(project.fastbp(script, "layers.pkl")[0]), plain, rtol=1e-9, atol=1e-11)
    project.fastbp(script)
    np.testing.assert_allclose(numbers(project.plain(script, "layers.pkl")), plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "call",
    [
        "multi_layer_net.MultiLayerNet(64, [12, 11], 10, 'sigmoid', 0.1, 0.2)",
        "multi_layer_net_extend.MultiLayerNetExtend(64, [12, 11], 10, use_batchnorm=True, weight_decay_lambda=0.1)",
        "multi_layer_net_extend.MultiLayerNetExtend(64, [12], 10, weight_init_std='xavier', use_dropout=True, "
        "dropout_ration=0.3)",
    ],
)
def test_the_networks_of_chapter_6(call: str, project: Project) -> None:
    script = project.write(
        IMPORTS
        + DIGITS
        + f"""
import pickle, copy
from common import multi_layer_net, multi_layer_net_extend
x, t = digits()
np.random.seed(0)
net = {call}
trainer = Trainer(net, x, t, x, t, epochs=2, mini_batch_size=50, optimizer='sgd', verbose=False)
trainer.train()
print(trainer.train_loss_list, trainer.test_acc_list)
grads = net.gradient(x[:5], t[:5])
print(sorted(grads), list(net.layers), type(net.last_layer) is SoftmaxWithLoss, net.hidden_size_list)
twin = pickle.loads(pickle.dumps(copy.deepcopy(net)))
print(net.loss(x, t), twin.loss(x, t), twin.accuracy(x, np.eye(10)[t]), grads['W1'].sum(), np.random.rand())
if len(sys.argv) > 1:
    with open(sys.argv[1], 'rb') as f: old = pickle.load(f)
    print(old.loss(x, t), sum(old.gradient(x, t)[key].sum() for key in old.params))
else:
    with open('net.pkl', 'wb') as f: pickle.dump(net, f)
    print(net.loss(x, t), sum(net.gradient(x, t)[key].sum() for key in net.params))
"""
    )
    output, last = project.fastbp(script)
    plain = project.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert output.splitlines()[1] == plain.splitlines()[1]
    assert "multi_layer_net" not in last or "Extend (not in fastbp)" in last
    crossed = project.fastbp(script, "net.pkl")[0]
    np.testing.assert_allclose(numbers(crossed)[:-2], numbers(plain)[:-2], rtol=1e-9)
    np.testing.assert_allclose(numbers(crossed)[-2], numbers(plain)[-2], rtol=1e-9)
    project.fastbp(script)
    np.testing.assert_allclose(numbers(project.plain(script, "net.pkl"))[-2], numbers(plain)[-2], rtol=1e-9)


# What is the script's own --------------------------------------------------------------------------------------------


def test_a_changed_default_and_what_uses_it(japanese: Project) -> None:
    japanese.change("functions", "+ 1e-7", "+ 1e-3")
    japanese.change("layers", "class Relu:", "class Tanh:\n    pass\n\n\nclass Relu:")
    script = japanese.write(
        TRAINING + "from common.multi_layer_net import MultiLayerNet\nprint(net.loss(x, t), Tanh.__module__)\n"
        "print(MultiLayerNet.__init__.__code__.co_filename[-18:], SoftmaxWithLoss.forward.__code__.co_filename[-9:])"
    )
    output, last = japanese.fastbp(script)
    assert output == japanese.plain(script)
    assert "common.functions: cross_entropy_error (changed), softmax_loss (uses cross_entropy_error)" in last
    assert "Tanh (added)" in last
    assert "SoftmaxWithLoss (uses cross_entropy_error)" in last
    assert "common.multi_layer_net: MultiLayerNet (uses SoftmaxWithLoss)" in last


def test_another_common_is_left_alone(japanese: Project) -> None:
    (japanese.folder / "common" / "layers.py").write_text("class Relu:\n    mine = True\n")
    for name in ("functions", "optimizer", "trainer", "gradient", "util", "multi_layer_net"):
        (japanese.folder / "common" / f"{name}.py").unlink()
    script = japanese.write("from common.layers import Relu\nprint(Relu.mine)\n")
    output, last = japanese.fastbp(script)
    assert output == "True\n"
    assert last.endswith("nothing was replaced; the package 'common' is not the book's and was left alone")


def test_only_some_modules(japanese: Project) -> None:
    script = japanese.write(TRAINING + "print(Affine.forward.__code__.co_filename, SGD.update.__code__.co_filename)")
    output, last = japanese.fastbp("--only", "layers", script)
    layers, optimizer = output.split()
    assert "common" not in layers
    assert Path(optimizer).parts[-2:] == ("common", "optimizer.py")
    assert "common.optimizer (--only)" in last
    assert "only must name modules of functions" in japanese.run("-m", "fastbp", "run", "--only", "x", script).stderr


def test_dialect(japanese: Project) -> None:
    script = japanese.write(
        "from common.optimizer import *\nprint(Nesterov.update.__qualname__, Nesterov.__mro__[1].__name__)\n"
    )
    assert japanese.fastbp(script)[0].split()[-1] == "Momentum"
    _, last = japanese.fastbp("--dialect", "ko", script)
    assert "(ko edition)" in last
    compared = japanese.write(
        "from common.optimizer import *\nN = Nesterov(0.1)\nW = {'W': np.ones(2)}\n"
        "for _ in range(3): N.update(W, {'W': np.ones(2)})\nprint(W)\n"
    )
    assert japanese.fastbp("--dialect", "ko", compared)[0] != japanese.fastbp("--dialect", "ja", compared)[0]


@pytest.mark.parametrize(
    ("line", "edition"),
    [
        ("from common.functions import sum_squared_error as error", "ja"),
        ("from common.functions import mean_squared_error as error", "ko"),
    ],
)
def test_a_script_without_a_common(line: str, edition: str, tmp_path: Path, japanese: Project) -> None:
    script = tmp_path / "alone" / "alone.py"
    script.parent.mkdir()
    script.write_text(f"from common.layers import *\n{line}\nprint(error(np.ones(2), np.zeros(2)), Relu.__module__)\n")
    output, last = japanese.fastbp(script)
    assert output == "1.0 common.layers\n"
    assert f"({edition} edition)" in last


@pytest.mark.skipif(not REAL, reason="FASTBP_TEST_MNIST names no folder with MNIST")
def test_mnist_without_the_scripts_pickle(japanese: Project) -> None:
    script = japanese.write(
        """
        from dataset.mnist import load_mnist
        (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=False, one_hot_label=True)
        print(x.shape, x.dtype, t.shape, t.dtype, x_test.shape, load_mnist()[0][0].dtype)
        """
    )
    output, _ = japanese.fastbp(script, FASTBP_DATA=str(REAL))
    assert output == "(60000, 1, 28, 28) uint8 (60000, 10) float64 (10000, 1, 28, 28) float32\n"


# A process like any other --------------------------------------------------------------------------------------------


def test_arguments_names_and_files(japanese: Project) -> None:
    (japanese.chapter / "data.txt").write_text("here")
    (japanese.chapter / "neighbour.py").write_text("name = __name__")
    script = japanese.write(
        """
        from common.layers import Relu
        import neighbour
        print(sys.argv, __name__, __file__, __doc__, __spec__, __package__, __builtins__, neighbour.name)
        print(sys.path[0], os.getcwd(), open('data.txt').read(), sorted(globals()))
        print(sys.modules['__main__'].Relu is Relu, sys.stdout.errors, sys.stdin.read())
        """
    )
    arguments = (script, "--help", "-x", "a b", "--", "--dialect")
    output, _ = japanese.fastbp(*arguments)
    assert output == japanese.plain(*arguments)
    elsewhere = japanese.folder / "elsewhere"
    elsewhere.mkdir()
    japanese.chapter, chapter = elsewhere, japanese.chapter
    (elsewhere / "data.txt").write_text("there")
    assert japanese.fastbp(chapter / script)[0] == japanese.plain(chapter / script)


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(3)", 3),
        ("sys.exit()", 0),
        ("sys.exit('a message')", 1),
        ("raise SystemExit(True)", 1),
        ("raise KeyError('x')", 1),
        ("x = [1]\ndef f(): return x[3]\nf()", 1),
        ("Affine(np.ones((2, 3)), np.zeros(3)).forward('text')", 1),
        ("import atexit; atexit.register(print, 'last'); 1 / 0", 1),
        ("sys.excepthook = lambda *error: print(error[0].__name__); raise ValueError", 1),
        ("def f(:", 1),
        ("raise ValueError('a') from KeyError('b')", 1),
    ],
)
def test_how_a_script_ends(ending: str, status: int, japanese: Project) -> None:
    script = japanese.write(f"from common.layers import *\nprint('begins')\n{ending}\n")
    done, plain = japanese.run("-m", "fastbp", "run", script), japanese.run(script)
    assert (done.returncode, plain.returncode) == (status, status)
    assert done.stdout == plain.stdout
    *said, last = done.stderr.splitlines()
    assert last.startswith("fastbp: ")
    if "Affine" not in ending:  # whose error is ours
        assert [line for line in said if not line.startswith("fastbp: ")] == plain.stderr.splitlines()


def test_an_interrupt(japanese: Project) -> None:
    script = japanese.write("from common.layers import *\nimport time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-m", "fastbp", "run", script],
        cwd=japanese.chapter,
        env=japanese.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
    assert said.splitlines()[-1].startswith("fastbp: ")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, japanese: Project) -> None:
    script = japanese.write(
        TRAINING
        + f"""
import multiprocessing

def loss(seed):
    np.random.seed(seed)
    return float(TwoLayerNet(64, 20, 10).loss(x, t)), Affine.forward.__code__.co_filename, os.getpid()

def of(network):
    return float(network.loss(x, t)), type(network.layers['Affine1']) is Affine

if __name__ == '__main__':
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        for value, file, process in pool.map(loss, range(4)):
            print(value, 'common' in file, process != os.getpid())
        print(pool.map(of, [net]))
"""
    )
    output, _ = japanese.fastbp(script)
    plain = japanese.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.findall("True|False", output) == ["False", "True"] * 4 + ["True"]
    assert re.findall("True|False", plain) == ["True", "True"] * 4 + ["True"]


def test_mistakes(japanese: Project) -> None:
    for arguments, said in (
        (("missing.py",), "missing.py: No such file"),
        ((".",), "is a folder: expected a Python script"),
        (("--dialect", "fr", "script.py"), "'fr' is not one of"),
        ((), "Missing argument 'SCRIPT'"),
    ):
        done = japanese.run("-m", "fastbp", "run", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


# Options -------------------------------------------------------------------------------------------------------------


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


def test_compare_tells_of_a_difference(japanese: Project) -> None:
    """An owner says that a layer is the book's, and it isn't."""
    japanese.change("layers", "np.dot(self.x, self.W) + self.b", "np.dot(self.x, self.W) + 2 * self.b")
    forms = forms_of(japanese.folder / "common")
    (japanese.folder / "forms.json").write_text(json.dumps(forms))
    script = japanese.write(TRAINING + "net.params['b1'] += 1\nprint(net.loss(x, t))\n")
    assert re.search(
        r"first 1 batches: [1-9]\.\de[-+]\d\d \(Affine.forward\)", japanese.fastbp("--compare", 1, script)[1]
    )


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
print(net.loss(x, t), grads['W1'].sum())
"""
    )
    plain = numbers(project.plain(script))
    single, double = (numbers(project.fastbp("--dtype", dtype, script)[0]) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(double, plain, rtol=1e-9)
    np.testing.assert_allclose(single, plain, rtol=1e-4)
    assert single != double


def test_later_layers_in_float32(japanese: Project) -> None:
    script = japanese.write(
        """
        from common.layers import *
        np.random.seed(3)
        x, W = np.random.randn(6, 2, 8, 8), np.random.randn(2, 2, 3, 3)
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


def test_install_in_a_notebook(japanese: Project) -> None:
    script = japanese.write(
        """
        import fastbp.book
        fastbp.book.install()
        from common.layers import *
        from common.optimizer import SGD
        print(Relu.__module__, Relu.forward.__code__.co_filename.split(os.sep)[-2], np.ones(2))
        fastbp.book.install(only=['layers'])
        """
    )
    assert japanese.plain(script).split()[0] == "common.layers"
    late = japanese.write("import common.layers, fastbp.book\nfastbp.book.install()\n", "late.py")
    assert "common.functions was imported before: call fastbp.book.install() first" in japanese.run(late).stderr
    wrong = japanese.write("import fastbp.book\nfastbp.book.install('fr')\n", "wrong.py")
    assert "dialect must be one of auto, ko, ja, got 'fr'" in japanese.run(wrong).stderr


def test_what_is_the_same_is_ours() -> None:
    import fastbp
    from fastbp.book import functions, layers, optimizer, util

    assert layers.Affine is fastbp.Affine
    assert optimizer.Adam is fastbp.Adam
    assert functions.softmax is fastbp.functions.softmax
    assert util.im2col is fastbp.util.im2col
    assert layers.np is np
    assert (util.conv_output_size(28, 5), util.conv_output_size(6, 3, 2)) == (24.0, 2.5)  # the book's are floats
