"""A team of threads inside compiled code: who takes part, and a barrier that costs a fraction of a microsecond.

Each member calls one kernel, on a Python thread of its own, with the interpreter's lock released. The leader takes in
whoever has come within a millisecond or so, and goes on with them: a thread that another process keeps from its core
is not waited for. Results must therefore not depend on the size of the team.
"""

import sys
import threading
import time

from llvmlite import ir
from numba import types

from fastbp.kernels.build.flags import inlined
from fastbp.kernels.tiles import codegen as cg
from fastbp.kernels.tiles.operation import operation

# A team's memory: counters in cache lines of their own. All start at 0.
JOINED, SIZE, ARRIVED, FLAG, PROGRESS = 0, 16, 32, 48, 64
TEAM_WORDS = 80
CANCELLED = -1  # instead of a size: the leader doesn't come
CLOSED = 1 << 32  # added to the count of those who joined: who comes later stays out
PATIENCE = 20_000  # looks of the leader for a member; a look is 12 to 50 ns

# Looks before a waiting thread lets others run on its core after each, 0.2 µs, and after how many of these it sleeps
# instead, 100 µs at a time. To sleep after the first 4,000 looks, 46 µs, cost 8 % of a step of 784-512-512-10, whose
# halves are seldom equally long. Who never sleeps keeps a core from the busy process that the other one waits behind.
SPINS, YIELDS = 2_000, 10_000


_lock = threading.Lock()  # of kernels that run as Python


def _add_as_python(words, at, number):
    with _lock:
        before = words[at]
        words[at] = before + number
        return before


@operation(interpreted=_add_as_python)
def _add_to(typingctx, words, at, number):
    def codegen(context, builder, sig, args):
        place = builder.gep(args[0], [args[1]])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(types.CPointer(types.int64), types.intp, types.int64), codegen


@operation(interpreted=lambda words, at: words[at])
def _value_of(typingctx, words, at):
    def codegen(context, builder, sig, args):
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(types.CPointer(types.int64), types.intp), codegen


@operation(interpreted=lambda words, at, number: words.__setitem__(at, number))
def _set(typingctx, words, at, number):
    def codegen(context, builder, sig, args):
        builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.CPointer(types.int64), types.intp, types.int64), codegen


@operation(interpreted=lambda: time.sleep(0))
def _pause(typingctx):
    """Tells the processor that this is a waiting loop, where it has a word for it."""

    def codegen(context, builder, sig, args):
        if cg.is_x86(builder):
            cg.call_llvm(builder, "x86.sse2.pause", ir.VoidType(), [], [])
        return context.get_dummy_value()

    return types.void(), codegen


def _system_call(name, *numbers):
    """An intrinsic that calls a C function (int, ...) -> int; nothing where the C library is another."""

    @operation(interpreted=lambda: time.sleep(0))
    def call(typingctx):
        def codegen(context, builder, sig, args):
            if sys.platform != "win32":
                function = ir.FunctionType(cg.I32, [cg.I32] * len(numbers))
                known = builder.module.globals.get(name)
                builder.call(known or ir.Function(builder.module, function, name), [cg.I32(n) for n in numbers])
            return context.get_dummy_value()

        return types.void(), codegen

    return call


_yield = _system_call("sched_yield")
_sleep = _system_call("usleep", 20)


@inlined
def _wait(looks):
    """Before the next look, after so many: a wait may end at once, or be for a thread that has no core."""
    if looks < SPINS:
        _pause()
    elif looks < SPINS + YIELDS:
        _yield()
    else:
        _sleep()


@inlined
def join(team, leads, wanted):
    """(Number of this member, size of the team); the number is -1 for who came too late."""
    if leads:
        looks = 0
        while _value_of(team, JOINED) < wanted - 1 and looks < PATIENCE:
            looks += 1
            _pause()
        size = 1 + _add_to(team, JOINED, CLOSED)
        _set(team, SIZE, size)
        return 0, size
    number = 1 + _add_to(team, JOINED, 1)
    if number >= CLOSED:
        return -1, 0
    looks = 0
    while _value_of(team, SIZE) == 0:
        looks += 1
        _wait(looks)
    if _value_of(team, SIZE) == CANCELLED:
        return -1, 0
    return number, _value_of(team, SIZE)


@inlined
def barrier(team, size):
    """Waits until all members are here; what they wrote before is seen by all after."""
    if size > 1:
        ticket = _add_to(team, ARRIVED, 1)
        complete, looks = (ticket // size + 1) * size, 0
        while _value_of(team, ARRIVED) < complete:
            looks += 1
            _wait(looks)


@inlined
def raise_flag(team, flag):
    """For all members to see after the next barrier."""
    _set(team, flag, 1)


@inlined
def flag_is_up(team, flag):
    return _value_of(team, flag) != 0


@inlined
def tell_progress(team, steps):
    """For the caller, who may be interrupted before it learns what the kernel returns."""
    _set(team, PROGRESS, steps)
