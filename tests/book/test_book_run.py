"""`fastbp run`: readers' scripts, in processes of their own, beside plain Python: their results."""

import re

import numpy as np
import pytest
from book_scripts import DIGITS, IMPORTS, TRAINING, Project, numbers

pytestmark = pytest.mark.command


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


TRAINER = TRAINING + "trainer = Trainer(net, x, t, x, t, 4, 50, 'Momentum', {'lr': 0.05}, verbose=False)\n"
STEPS = {
    "of the object": "trainer.train_step = mine",
    "of the class": "Trainer.train_step = lambda self: mine()",
    "of a subclass": "class Own(Trainer):\n    def train_step(self): mine()\ntrainer.__class__ = Own",
    "of the object, while it trains": "later = True",
}


@pytest.mark.parametrize("step", STEPS)
def test_trainer_calls_the_scripts_own_train_step(step: str, japanese: Project) -> None:
    script = japanese.write(
        TRAINER
        + f"""
from types import MethodType
calls, later, original = [], False, MethodType(Trainer.train_step, trainer)
def mine():
    calls.append(1)
    trainer.optimizer.lr *= 0.9
    original()
{STEPS[step]}
accuracy = net.accuracy
def asked(x, t):
    if later: trainer.train_step = mine
    return accuracy(x, t)
net.accuracy = asked
trainer.train()
print(len(calls), float(trainer.optimizer.lr), sum(map(float, trainer.train_loss_list)), np.random.rand())
"""
    )
    output, _ = japanese.fastbp(script)
    plain = japanese.plain(script)
    assert output.split()[0] == plain.split()[0] != "0"
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=1e-9)


@pytest.mark.parametrize("what", ["optimizer", "network", "max_iter"])
def test_what_is_exchanged_while_trainer_trains(what: str, japanese: Project) -> None:
    script = japanese.write(
        TRAINER
        + f"""
class Net(TwoLayerNet):
    def accuracy(self, x, t):
        if trainer.current_epoch == 2: trainer.{what} = other
        return super().accuracy(x, t)
net = trainer.network = Net(64, 20, 10)
other = {{'optimizer': SGD(1e-6), 'network': Net(64, 20, 10), 'max_iter': 100}}[{what!r}]
trainer.train()
last = trainer.network
print(*trainer.train_loss_list, *[np.abs(each.params['W1']).sum() for each in (net, last)])
print(len(trainer.train_loss_list), np.abs(last.layers['Affine1'].dW).sum(), np.random.rand())
"""
    )
    np.testing.assert_allclose(numbers(japanese.fastbp(script)[0]), numbers(japanese.plain(script)), rtol=1e-9)


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


@pytest.mark.parametrize("options", [(), ("--dtype", "float32")], ids=" ".join)
def test_losses_and_shares_are_numbers_of_numpy(options: tuple[str, ...], project: Project) -> None:
    """In the dtype that plain Python gives them, whatever kernels compute in."""
    script = project.write(
        TRAINING
        + """
import pickle
from common.multi_layer_net import MultiLayerNet
from common.multi_layer_net_extend import MultiLayerNetExtend
def show(*values): print([(type(value).__name__, value.dtype.name, value.shape) for value in values])
nets = [MultiLayerNet(64, [300], 10), MultiLayerNetExtend(64, [300], 10, weight_decay_lambda=0.1), net]
for each in nets:
    last = each.lastLayer if each is net else each.last_layer
    show(each.loss(x, t), last.loss, each.accuracy(x, t), pickle.loads(pickle.dumps(last)).loss)
last = SoftmaxWithLoss()
for dtype in ('float32', 'float64'):
    y = np.random.rand(2000, 10).astype(dtype)
    loss = last.forward(y, np.arange(2000) % 10)
    assert loss == last.loss
    show(loss, last.loss, last.forward(y[0], np.array([1])))
for dtype in ('float32', 'float64', 'int64'):
    y = softmax(np.arange(20).reshape(2, 10).astype(dtype))
    show(cross_entropy_error(y, np.array([1, 2])), cross_entropy_error(y, np.eye(10)[[1, 2]]))
trainer = Trainer(nets[0], x, t, x, t, 1, 100, 'SGD', {'lr': 0.01}, verbose=False)
trainer.train()
show(*trainer.train_loss_list, *trainer.train_acc_list, *trainer.test_acc_list, nets[0].last_layer.loss)
"""
    )
    assert project.fastbp(*options, script)[0] == project.plain(script)


def test_functions_of_numbers(project: Project) -> None:
    """Chapter 3 draws and prints these number by number: they are numbers, no arrays without dimensions."""
    script = project.write(
        """
        import json
        from common.functions import *
        print(json.dumps([sigmoid(2.0), relu(2.5), identity_function(1)]), {relu(3): 1}, [10, 20, 30][relu(2)])
        print([sigmoid(v) for v in (1.0, 2.0)], isinstance(relu(2.5), float), softmax(np.float64(3.0)))
        print(relu(np.array([-1, 2])).dtype, identity_function('x'), sigmoid_grad(0.0))
        """
    )
    assert project.fastbp(script)[0] == project.plain(script)


def test_a_loss_whose_constructor_does_not_call_the_books(project: Project) -> None:
    script = project.write(
        """
        from common.layers import *
        class Quiet(SoftmaxWithLoss):
            def __init__(self):
                self.calls = 0
        layer = Quiet()
        print(layer.forward(np.ones((2, 3)), np.array([0, 1])), layer.backward())
        """
    )
    np.testing.assert_allclose(numbers(project.fastbp(script)[0]), numbers(project.plain(script)), rtol=1e-9)


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


def test_what_layers_make_of_overflows_integers_and_matrices(japanese: Project) -> None:
    """The rows of docs/book.md."""
    script = japanese.write(
        """
        from common.layers import *
        def raises(function, *arguments):
            try: print(function(*arguments), end=' ')
            except FloatingPointError: print('raises', end=' ')
        ones = np.ones((2, 2), int)
        print(Affine(ones, ones[0]).forward(ones).dtype, Relu().forward(ones).dtype, end=' ')
        print(type(Affine(np.matrix(ones), ones[0]).forward(np.matrix(ones))).__name__, end=' ')
        np.seterr(all='raise')
        raises(Affine(np.full((1, 1), 1e300), 0).forward, np.full((1, 1), 1e300))
        raises(np.multiply, 1e300, 1e300)
        """
    )
    assert japanese.plain(script).split() == ["int64", "int64", "matrix", "raises", "raises"]
    assert japanese.fastbp(script)[0].split() == ["float64", "float64", "ndarray", "[[inf]]", "raises"]


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
    assert b"fastbp" not in (project.chapter / "layers.pkl").read_bytes()
    np.testing.assert_allclose(numbers(project.plain(script, "layers.pkl")), plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [(), ("--compare", "2"), ("--dtype", "float32")], ids=" ".join)
def test_subclasses_whose_forward_is_written_as_in_the_book(options: tuple[str, ...], japanese: Project) -> None:
    """They assign what the book's layers keep, and leave backward to the class that they come from."""
    script = japanese.write(
        """
        from common.layers import *

        class Noisy(Convolution):
            def forward(self, x):
                filters, _, height, width = self.W.shape
                col = im2col(x, height, width, self.stride, self.pad)
                col = col + 0.1 * np.random.randn(*col.shape)
                col_W = self.W.reshape(filters, -1).T
                self.x, self.col, self.col_W = x, col, col_W
                return (np.dot(col, col_W) + self.b).reshape(len(x), 8, 8, filters).transpose(0, 3, 1, 2)

        class Last(Pooling):
            def forward(self, x):
                col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).reshape(-1, self.pool_h * self.pool_w)
                self.x, self.arg_max = x, np.full(len(col), col.shape[1] - 1)
                return col[:, -1].reshape(len(x), 4, 4, x.shape[1]).transpose(0, 3, 1, 2)

        class Absolute(BatchNormalization):
            def forward(self, x, train_flg=True):
                self.input_shape = x.shape
                rows = x.reshape(len(x), -1)
                self.xc = rows - rows.mean(axis=0)
                self.std = np.sqrt(np.mean(self.xc ** 2, axis=0) + 1e-6)
                self.xn = self.xc / self.std
                self.batch_size = len(rows)
                return (self.gamma * self.xn + self.beta).reshape(x.shape)

        np.random.seed(3)
        x, W = np.random.randn(150, 2, 8, 8), np.random.randn(3, 2, 3, 3)
        layers = [Noisy(W, np.zeros(3), pad=1), Last(2, 2), Absolute(np.ones(48), np.zeros(48))]
        for _ in range(2):
            out = x
            for layer in layers: out = layer.forward(out)
            dout = out ** 2
            for layer in reversed(layers): dout = layer.backward(dout)
            kept = (out, dout, layers[0].dW, layers[0].db, layers[0].col, layers[2].dgamma, layers[2].xn)
            assert {array.dtype.name for array in kept} == {'float64'}
            for array in kept: print(np.abs(array).sum(), array.shape)
        print(layers[1].arg_max[:5], layers[0].col_W.shape)
        """
    )
    output, plain = japanese.fastbp(*options, script)[0], japanese.plain(script)
    tolerance = 1e-4 if "float32" in options else 1e-9
    np.testing.assert_allclose(numbers(output), numbers(plain), rtol=tolerance, atol=tolerance)
    assert output.splitlines()[-1] == plain.splitlines()[-1]


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
print(type(net.layers), sorted(grads), list(net.layers), type(net.last_layer) is SoftmaxWithLoss, net.hidden_size_list)
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
