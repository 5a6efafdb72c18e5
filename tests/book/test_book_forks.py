"""Scripts as owners of forks write them: what is unusual about them is theirs, and stays so under `fastbp run`."""

import pickle
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from book_scripts import DIGITS, TWO_LAYER_NET, Project, numbers

pytestmark = pytest.mark.command

NET = (
    "from collections import OrderedDict\nfrom common.layers import *\nfrom common.optimizer import *\n"
    "from common.trainer import Trainer\n" + TWO_LAYER_NET + DIGITS + "x, t = digits()\nnp.random.seed(0)\n"
    "net = TwoLayerNet(64, 20, 10)\n"
)
TRAIN = """
for _ in range(3):
    grads = net.gradient(x, t)
    for key in grads: net.params[key] -= 0.1 * grads[key]
print(net.loss(x, t), net.accuracy(x, t))
"""

SCRIPTS = {
    "subclasses of what a star import brings": """
class Leaky(Relu):
    def forward(self, x):
        self.mask = x <= 0
        return np.where(self.mask, 0.1 * x, x)
    def backward(self, dout): return np.where(self.mask, 0.1 * dout, dout)
class Doubled(Affine):
    def forward(self, x): return 2 * super().forward(x)
    def backward(self, dout):
        dx = super().backward(2 * dout)
        print(dx.shape, dx.dtype)
        return dx
net.layers['Relu1'] = Leaky()
net.layers['Affine1'] = Doubled(net.params['W1'], net.params['b1'])
print(isinstance(net.layers['Relu1'], Relu), Leaky.__mro__[1].__module__)
""",
    "fastbp's folders taken out of sys.path": """
sys.path[:] = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry, 'fastbp'))][1:]
import common.util, common.gradient
print(common.util.smooth_curve(np.arange(20.0))[:2], common.gradient.np is np)
""",
    "warnings of NumPy and of its own": """
import warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter('always')
    warnings.warn('mine')
    np.log(np.zeros(2))
    softmax(np.array([[1e4, -1e4]]))
    print([str(each.message) for each in seen])
""",
    "itself in a process, in exec, and again": """
import importlib, inspect, subprocess
if len(sys.argv) == 1:
    print(subprocess.run([sys.executable, __file__, 'again'], capture_output=True, text=True).stdout)
    exec('from common.functions import *; print(softmax(np.zeros(2)))')
    module = importlib.import_module('common.layers')
    print(module.__name__, module.__file__.split(os.sep)[-2:], module.Relu is Relu, importlib.reload(module).np is np)
    print(inspect.getsource(TwoLayerNet.loss), TwoLayerNet.__module__)
""",
    # Edited to another size: byte code of the same second and size passes for the edited file's.
    "a module that is edited and loaded again": """
import importlib, common.layers
ours = [common.layers.Relu().forward(np.array([-1.0, 2.0])) for _ in range(2)]
file = common.layers.__file__
with open(file) as stream: text = stream.read()
with open(file, 'w') as stream: stream.write(text.replace('out[self.mask] = 0', 'out[self.mask] = 77'))
importlib.invalidate_caches()
importlib.reload(common.layers)
print(ours, common.layers.Relu().forward(np.array([-1.0, 2.0])))
with open(file, 'w') as stream: stream.write(text)
""",
    "a thread, and layers that are emptied in place": """
import threading
worker = threading.Thread(target=lambda: print(net.predict(x[:3]).shape))
worker.start()
worker.join()
net.layers['Affine2'].W[...] = 0
print(net.loss(x, t), net.layers.popitem(last=False)[0])
net.layers['Affine1'] = Affine(net.params['W1'], net.params['b1'])
net.layers.move_to_end('Affine1', last=False)
""",
}


@pytest.mark.parametrize("what", SCRIPTS)
def test_scripts_of_forks(what: str, project: Project) -> None:
    script = project.write(NET + SCRIPTS[what] + TRAIN)
    output, plain = project.fastbp(script)[0], project.plain(script)
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
    assert re.sub(r"\d+\.\d+", "", output) == re.sub(r"\d+\.\d+", "", plain)


def test_a_script_that_asks(japanese: Project) -> None:
    script = japanese.write(NET + "name = input('name? ')\nprint('hello', name, sys.stdin.readline())\n")
    said = []
    for how in ((), ("-m", "fastbp", "run")):
        command = [sys.executable, *how, script]
        done = subprocess.run(
            command,
            cwd=japanese.chapter,
            env=japanese.environment,
            input="reader\nmore\n",
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        said.append(done.stdout)
    assert said[0] == said[1] == "name? hello reader more\n\n"


def test_a_script_in_a_folder_of_a_folder_from_elsewhere(japanese: Project) -> None:
    folder = japanese.chapter / "deep"
    folder.mkdir()
    (folder / "net.py").write_text("import numpy as np\n" + NET.partition("x, t =")[0])
    (folder / "script.py").write_text(
        "import sys, os\nhere = os.path.dirname(os.path.abspath(__file__))\n"
        "sys.path.append(os.path.join(here, os.pardir, os.pardir))\n"
        "import numpy as np\nfrom net import TwoLayerNet, digits\nx, t = digits()\nnp.random.seed(0)\n"
        "net = TwoLayerNet(64, 20, 10)\n" + TRAIN + "print(sys.argv, os.path.basename(os.getcwd()), __name__)\n"
    )
    for script in ("deep/script.py", folder / "script.py"):
        output, last = japanese.fastbp(script, "--only", "-v")
        plain = japanese.plain(script, "--only", "-v")
        np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)
        assert output.splitlines()[-1] == plain.splitlines()[-1]
        assert "left to the script" not in last


@pytest.mark.parametrize("training", ["while True: net.gradient(x, t)", "trainer.train()"])
def test_an_interrupt_that_a_script_catches(training: str, japanese: Project) -> None:
    script = japanese.write(
        NET + "trainer = Trainer(net, x, t, x, t, 100000, 50, verbose=False)\nnet.gradient(x, t)\n"
        f"try:\n    print('ready', flush=True)\n    {training}\nexcept KeyboardInterrupt:\n    print('saved')\n"
        "sys.exit(4)\n"
    )
    command = [sys.executable, "-m", "fastbp", "run", script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=japanese.chapter, env=japanese.environment, **pipes) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=60)
    assert (process.returncode, output) == (4, "saved\n")
    assert "Traceback" not in said


def out_of_reach(project: Project) -> dict[str, str]:
    """An environment in which fastbp has no MNIST, nor a way to it."""
    nowhere = "http://127.0.0.1:9/"
    own = {"FASTBP_DATA": "", "FASTBP_CACHE_DIR": str(project.folder / "empty"), "FASTBP_MNIST_URL": nowhere}
    return own | {"https_proxy": nowhere}


def test_no_mnist_and_no_connection(japanese: Project) -> None:
    script = japanese.write("from dataset.mnist import load_mnist\nload_mnist()\n")
    done = japanese.run("-m", "fastbp", "run", script, **out_of_reach(japanese))
    assert done.returncode == 1
    assert "ConnectionError: MNIST could not be downloaded" in done.stderr
    assert "Nor does the script's own dataset.mnist give it: FileNotFoundError: " in done.stderr
    assert "During handling" not in done.stderr


def test_no_connection_and_an_mnist_of_the_scripts_own(japanese: Project) -> None:
    script = japanese.write(
        """
from dataset.mnist import load_mnist
for options in ({}, {'normalize': False, 'flatten': False}, {'one_hot_label': True}):
    for x, t in load_mnist(**options): print(x.shape, x.dtype, x.sum(), t.shape, t.dtype, t.sum())
"""
    )
    rng = np.random.default_rng(0)
    parts = {"train": 7, "test": 3}
    data = {f"{part}_img": rng.integers(0, 256, (n, 784), np.uint8) for part, n in parts.items()}
    data |= {f"{part}_label": rng.integers(0, 10, n, np.uint8) for part, n in parts.items()}
    (japanese.folder / "dataset" / "mnist.pkl").write_bytes(pickle.dumps(data))
    output, last = japanese.fastbp(script, **out_of_reach(japanese))
    assert output == japanese.plain(script)
    assert last.endswith("left to the script's own code: dataset.mnist: load_mnist (MNIST could not be downloaded)")
