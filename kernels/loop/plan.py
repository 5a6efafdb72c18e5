"""The tables that tell the compiled loop what to do: a network, its samples and its buffers as data.

The addresses in them are those of the caller's arrays, and of C functions (`PART`): parts of a step, all of one
signature. The loop knows no layer: what a row's functions do with its other columns is their own affair.
"""

from numba import types

from fastbp.kernels.build.tables import Bytes, Function, Integer, Integers, Integers32, Number, Numbers, Real, table


@table
class Parameter:
    """An array that is trained."""

    value: Real
    gradient: Real
    size: Integer  # elements
    squares: Numbers  # of the gradient, a sum for each block of it
    states: Integers  # the addresses of the optimizer's arrays
    home: Real  # the caller's array, where `value` is an aligned copy of it for the time of a run


@table
class Operation:
    """A row of the plan: functions, how their work may be split, and what they need for it."""

    forward: Function
    backward: Function  # the gradient of its input
    update: Function  # the gradients of its parameters, and the optimizer's step
    begin: Function  # before the first step
    end: Function  # after the last one
    penalty: Function  # the sum of the squares of its weights
    # By how many columns the result of each may be split over threads, each for all samples; 0: by rows alone.
    forward_columns: Integer
    backward_columns: Integer
    update_columns: Integer
    update_rows: Integer  # of what is updated
    D: Integer  # inputs and
    M: Integer  # outputs a sample
    x: Real
    out: Real
    mask: Bytes
    dout: Real
    dx: Real
    below: Bytes  # the mask of the operation below, which its gradient is to pass
    masks: Integer  # whether dout has not passed the operation's own mask yet
    trained: Integer  # how many parameters it has
    parameters: Parameter  # a row each, of which
    W: Parameter  # is the first one
    b: Parameter  # and the second
    averages: Integers  # the addresses of arrays that the forward pass changes
    keeps: Integers  # and of what it leaves for the backward pass
    sizes: Integers
    numbers: Numbers
    sums: Real  # what its backward pass leaves for the update, of each group of samples
    draws: Numbers  # random ones, for each step of the run
    whole: Integer  # whether each thread takes some of the columns of all samples, always
    squares: Numbers  # where the penalty goes
    asks: Integer  # whether its update asks for the next batch's samples meanwhile


@table
class Samples:
    """The samples and labels of a run."""

    address: Integer  # of dense samples, or of the values of compressed ones
    features: Integer
    row_bytes: Integer  # of a dense sample
    starts: Integers  # where each compressed sample begins
    columns: Integer  # the address of theirs, and
    form: Integer  # which of the kinds of COMPRESSED their columns and values are
    labels: Integer
    classes: Integer


@table
class Batch:
    """The buffers of a batch. For compressed samples each thread has copies of their rows for itself."""

    x: Real
    labels: Integer
    y: Real
    begins: Integers  # of compressed rows; or words of bits, where zeros of dense samples are skipped
    columns: Integers32
    values: Real
    stride: Integer  # padded columns of what belongs to the first layer
    padded_W: Real
    padded_out: Real
    padded_dout: Real


@table
class Settings:
    """Real numbers, and what the optimizer is."""

    scale: Number  # of the samples
    decay: Number  # of the weights
    loss_numbers: Numbers
    numbers: Numbers  # of the optimizer, after the step size: momentum, beta1, ...
    optimize: Function  # its step for elements [lo, hi) of a parameter
    after_clipping: Function  # the same where gradients are clipped first; `optimize` does nothing then
    max_norm: Number  # that all gradients together may have
    decays: Function  # the gradient of the weights' decay, 0 where they don't
    direct: Integer  # whether its step is W -= rate * dW: then no dW is made


@table
class Step:
    """What a thread's functions are told of the step at hand."""

    number: Integer  # of the step in this run, from 0
    N: Integer  # samples of the batch
    lo: Integer  # this thread's, [lo, hi)
    hi: Integer
    rows: Integers  # which samples
    next_rows: Integers
    rate: Number  # the optimizer's step size
    clip: Number  # what gradients are multiplied by
    samples: Samples
    batch: Batch
    settings: Settings
    costs: Numbers  # of each sample
    cursors: Integers  # memory to work in
    scratch: Real
    room: Number  # how much the weights may grow while zeros are skipped


@table
class Run:
    """A run: all that its threads need."""

    team: Integers
    threads: Integer
    members: Step  # a row each
    scratch: Real  # scratch_size elements each
    scratch_size: Integer
    cursors: Integers  # N + PLACES_BEHIND each
    plan: Operation
    operations: Integer  # rows of the plan
    samples: Samples
    batch: Batch  # a row each
    settings: Settings
    clips: Function  # the clipped step for elements [lo, hi) of a parameter, 0 where gradients aren't clipped
    gather: Function
    labels: Function  # 0 where nothing is learned, but scores are computed
    loss: Function
    # A plan may be good only for a while. `admits` says before the first step whether it is, `holds` in each step,
    # before anything changes, whether it still is, and an update ends that by returning 1. `enter` and `leave` are
    # called around its use; after it the other plan is taken, for the rest of the run.
    admits: Function
    holds: Function
    enter: Function
    leave: Function
    other_plan: Operation
    other_gather: Function
    steps: Integer
    N: Integer
    grouped: Integer  # whether threads take whole groups of samples
    order: Integers  # (steps, N)
    rates: Numbers
    costs: Numbers
    losses: Numbers
    stops: Integer  # whether a loss of NaN ends the run


def part_types(real, row=Operation):
    """The types of a part: (lo, hi, left, right, row, step). It takes rows and columns of a row's work; an int64."""
    return (types.int64,) * 4 + (row.of(real), Step.of(real))
