"""The command `fastbp`. A user's mistake is one line on stderr and exit status 2."""

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from fastbp.command import book, messages
from fastbp.command.inputs import check_outputs, check_rate, load_data, samples_for
from fastbp.command.networks import (
    RATES,
    Architecture,
    OptimizerName,
    default_optimizer,
    make_network,
    number,
    saved_network,
    sizes,
)

app = typer.Typer(
    name="fastbp",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help='Train and check the networks of "Deep Learning from Scratch" on compiled kernels.',
)


class DType(StrEnum):
    float32 = "float32"
    float64 = "float64"


DATA_HELP = "digits (inside the package), mnist (downloaded once), or a folder with four IDX files or an mnist.npz."
Data = Annotated[str, typer.Option(metavar="digits|mnist|FOLDER", help=DATA_HELP)]
HIDDEN_HELP = "Neurons of a hidden layer: 50 by default, 100 in simple-conv, 100,100,100 in multi-layer."
Hidden = Annotated[Any, typer.Option(parser=sizes, metavar="N[,N]...", help=HIDDEN_HELP, show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the weights and of the order of the samples.")]


def run(arguments: list[str] | None = None) -> int | Callable[[], int]:
    """Runs the command line and returns its exit status: 0, 1 for a failed check, 2 for a user's mistake.

    Of a command that hands over to a user's script it returns what runs that, for a stack without the command line's.
    """
    errors, hook = getattr(sys.stdout, "errors", None), sys.excepthook
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that can't show "·" still gets its results
    try:
        with messages.warnings_in_one_line():
            outcome: int | Callable[[], int] | None = app(arguments, standalone_mode=False)
        if callable(outcome):
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(errors=errors)
            sys.excepthook = hook  # the app has set its own
            return outcome
        status = int(outcome or 0)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a full disk is one more line for the user
        return status
    except typer.Abort:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:  # the user's own mistakes become one line, all others keep their traceback
        message = messages.of_a_mistake(error)
        if message is None:
            raise
        print(f"fastbp: error: {' '.join(message.split())}", file=sys.stderr)
        return 2


def _print_version(wanted: bool) -> None:
    if wanted:
        from fastbp import __version__

        print(f"fastbp {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def fastbp(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    data: Data = "digits",
    network: Annotated[Architecture, typer.Option(help="What is trained.")] = Architecture.two_layer,
    hidden: Hidden = None,
    optimizer: Annotated[
        OptimizerName | None,
        typer.Option(
            help="What changes the weights: sgd by default; adam for deep-conv without --lr.", show_default=False
        ),
    ] = None,
    lr: Annotated[
        Any,
        typer.Option(
            parser=number, metavar="FLOAT", help="Learning rate: 0.1 for sgd, 0.001 for adam, else 0.01, by default."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="200 for digits, else 17, by default.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in a step.")] = 100,
    train_samples: Annotated[
        int | None, typer.Option(min=1, help="Train on so many samples, the first; all by default.", show_default=False)
    ] = None,
    dtype: Annotated[DType, typer.Option(help="Precision of the weights.")] = DType.float32,
    seed: Seed = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads at most, by default one a core.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="Write the trained parameters.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the learning curves.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the last line only.")] = False,
) -> None:
    """Train a network of the book and print its accuracy after each epoch.

    \b
    two-layer    Affine, ReLU, Affine (chapter 5), from He's initial weights
    multi-layer  any number of hidden layers (chapter 6), likewise
    simple-conv  one convolution and two affine layers (chapter 7), likewise
    deep-conv    six convolutions, two affine layers, dropout (chapter 8), likewise
    """
    check_outputs({"--save": save, "--plot": plot}, picture="--plot")
    if save and save.suffix not in ("", ".npz"):
        raise ValueError(f"--save {save}: expected a file name that ends in .npz")
    method = optimizer.value if optimizer else default_optimizer(network, lr)
    rate = RATES.get(method, 0.01) if lr is None else lr
    check_rate(rate)
    (x_train, t_train), (x_test, t_test) = load_data(data, train_samples)
    if batch_size > max(100, len(x_train)):  # 100 where none is given
        print(f"--batch-size {batch_size}: there are {len(x_train)} samples, all in each step", file=sys.stderr)

    import numpy as np

    from fastbp.command.progress import train_with_progress
    from fastbp.networks import save_params
    from fastbp.system.threads import get_num_threads
    from fastbp.system.threads import threads as at_most
    from fastbp.trainer import Trainer

    rng = np.random.default_rng(seed)
    classes = int(max(t_train.max(), t_test.max(), 9)) + 1
    net = make_network(network, x_train.shape[1:], hidden, classes, dtype.value, rng)
    x_train, x_test = (samples_for(net, x).astype(dtype.value, copy=False) for x in (x_train, x_test))
    trainer = Trainer(
        net,
        *(x_train, t_train, x_test, t_test),
        epochs=epochs or (200 if data == "digits" else 17),
        mini_batch_size=batch_size,
        optimizer=method,
        optimizer_param={"lr": rate},
        verbose=False,
        rng=rng,
    )
    interrupted, seconds = False, 0.0
    try:
        with at_most(threads or get_num_threads()):
            seconds = train_with_progress(trainer, quiet=quiet)
    except KeyboardInterrupt:
        if not (save or plot):
            raise
        interrupted = True
    written = []
    if save and trainer.current_iter:
        save_params(save, net)
        written.append(save)
    if plot and trainer.current_epoch:
        from fastbp.command.plots import plot_learning_curves

        plot_learning_curves(trainer, plot)
        written.append(plot)
    if interrupted:
        _print_interrupted(trainer, written, plot)
        raise typer.Exit(130)
    _print_result(trainer, seconds)


@app.command()
def evaluate(
    load: Annotated[Path, typer.Option(metavar="FILE.npz", help="Parameters written by `fastbp train --save`.")],
    data: Data = "digits",
) -> None:
    """Print the accuracy of saved parameters, of whichever network of `fastbp train`."""
    from fastbp.command.progress import working

    (x_train, t_train), (x_test, t_test) = load_data(data)
    network = saved_network(load, x_train.shape[1:], int(max(t_train.max(), t_test.max())))
    with working(f"scoring {len(x_test)} and {len(x_train)} samples"):
        test, train = (network.accuracy(samples_for(network, x), t) for x, t in ((x_test, t_test), (x_train, t_train)))
    print(f"test accuracy {test:.4f} · train accuracy {train:.4f} · {len(x_test)} and {len(x_train)} samples")


@app.command()
def gradcheck(
    data: Data = "digits",
    hidden: Annotated[int, typer.Option(min=1, help="Neurons of the hidden layer.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.")] = 0,
) -> None:
    """Compare backpropagation with numerical differences on the first 3 samples, in float64."""
    import numpy as np

    from fastbp.gradcheck import check_gradients
    from fastbp.networks import TwoLayerNet
    from fastbp.system.compilation import says_it_compiles

    (x, t), _ = load_data(data)
    x = x.reshape(len(x), -1)
    classes = int(max(t.max(), 9)) + 1
    network = TwoLayerNet(x.shape[1], hidden, classes, rng=np.random.default_rng(seed))
    with says_it_compiles(print):
        result = check_gradients(network, x[:3], t[:3])
    print(result)
    if not result.ok:
        raise typer.Exit(1)


@app.command()
def warmup(
    dtype: Annotated[DType | None, typer.Option(help="Precision of the weights; both by default.")] = None,
) -> None:
    """Compile all kernels now; they are kept on disk."""
    from fastbp.command.progress import warmup_with_progress

    warmup_with_progress((dtype.value,) if dtype else tuple(DType))


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="float32 alone, in ten seconds instead of forty.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of fastbp, NumPy and PyTorch alike.")] = 1,
    only: Annotated[str, typer.Option(metavar="REGEX", help="Rows whose name matches, as in Affine or training.")] = "",
    save: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the chart into a file.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the raw figures.")] = None,
) -> None:
    """Measure how many times faster than NumPy the layers and the training are on this machine."""
    check_outputs({"--json": json, "--save": save}, picture="--save")
    from fastbp.bench.command import bench as measure

    measure(quick, threads, only, save, json)


@app.command()
def graph(
    figure: Annotated[str, typer.Argument(metavar="FIGURE", help="One of those above.", show_default=False)] = "",
    opened: Annotated[bool, typer.Option("--opened", help="Show composite nodes by their parts.")] = False,
    save: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw it: .svg, .png or .pdf.")] = None,
) -> None:
    """Print a computational graph of the book's chapter 5, and the chain rule along its paths.

    \b
    apples    two apples and a tax (figures 5-2, 5-5, 5-14, 5-16)
    oranges   apples, oranges and a tax (5-3, 5-15, 5-17)
    square    (x + y)² by the chain rule (5-7, 5-8)
    add       10 + 5 under a derivative of 1.3 (5-9 to 5-11)
    multiply  10 × 5 under a derivative of 1.3 (5-12, 5-13)
    relu      max(x, 0) of a 2 × 2 array (5-18)
    sigmoid   1 / (1 + exp(−x)); --opened: its four steps (5-19 to 5-22)
    affine    X · W + B for a batch; --opened: dot and + (5-24 to 5-27)
    softmax   softmax with loss; --opened: all its steps (5-28 to 5-30)
    network   a small TwoLayerNet, a node a layer (section 5.7)
    """
    from fastbp.graph.command import show

    show(figure, opened, save)


app.command(context_settings=book.RUN_SETTINGS)(book.run)
app.command()(book.convert)


@app.command()
def info() -> None:
    """Print versions, processor, threads and cache folder: what a bug report needs."""
    from fastbp.system.info import collect

    facts = collect()
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}")


def _print_result(trainer: Any, seconds: float) -> None:
    speed = trainer.epochs * trainer.train_size / seconds
    print(
        f"test accuracy {trainer.test_acc_list[-1]:.4f} · {trainer.current_iter} steps · {seconds:.1f} s · "
        f"{speed:,.0f} samples/s · {trainer.runs}"
    )


def _print_interrupted(trainer: Any, written: list[Path], plot: Path | None) -> None:
    kept = f"{' and '.join(map(str, written))} written as of now" if written else "no file was written"
    if plot and plot not in written:
        kept += "; there are no learning curves before the end of an epoch"
    print(f"interrupted after {trainer.current_iter} of {trainer.max_iter} steps: {kept}", file=sys.stderr)
