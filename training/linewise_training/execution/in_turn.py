"""C functions that are called one after another, with nothing of Python between them.

What Python does between two calls writes to its memory. That is wrong where this memory is just being put
elsewhere, and costs a copy of each page where a child process has the same. So the calls are contexts (of
glibc's `makecontext`), each of which goes on with the next when its function returns.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False  # a worker makes room before it loads what need not be there
if TYPE_CHECKING:
    from collections.abc import Callable

    from linewise_training.execution.entry import Calls

_MACHINES = ("aarch64", "x86_64")  # where arguments may be as wide as a pointer
_CONTEXT = 1 << 13  # bytes: a `ucontext_t` has some 5,000 at most
_STACK = 1 << 14
_MOST = 2
ROOM = (_MOST + 1) * _CONTEXT + _MOST * _STACK
"""Bytes of memory that `calls_in_turn` takes."""
_LINK, _STACK_AT, _STACK_BYTES = 1, 2, 4  # words of a `ucontext_t`

_libc = ctypes.PyDLL(None)  # keeps Python's lock, which a child would have to take


def calls_in_turn(room: int, *functions: tuple[Callable[..., int], tuple[int, ...]]) -> Calls:
    """What is to be called, by Python and any number of times, for functions to be called in turn.

    Args:
        room: The address of `ROOM` bytes of memory, which is written to between the calls.
        functions: One or two of the C library's, and what each takes: six numbers or addresses at most. What
            they return is lost.

    Raises:
        OSError: The system has no such contexts.
    """
    if os.uname().machine not in _MACHINES or not hasattr(_libc, "makecontext"):
        raise OSError("there are no contexts of C functions here")
    make, switch = _libc["makecontext"], _libc["swapcontext"]
    make.restype = switch.restype = None
    contexts = [room + number * _CONTEXT for number in range(len(functions) + 1)]
    calls: Calls = []
    for number, (function, arguments) in enumerate(functions, 1):
        context = ctypes.c_void_p(contexts[number])
        _libc.getcontext(context)
        words = (ctypes.c_size_t * (_STACK_BYTES + 1)).from_address(contexts[number])
        words[_LINK] = contexts[(number + 1) % len(contexts)]  # the last goes on here
        words[_STACK_AT] = room + ROOM - number * _STACK
        words[_STACK_BYTES] = _STACK
        wide = [ctypes.c_long(argument) for argument in arguments]
        # Each time anew: what makes it begin is written over when its function has returned.
        calls.append((make, (context, function, ctypes.c_int(len(wide)), *wide)))
    return [*calls, (switch, (ctypes.c_void_p(contexts[0]), ctypes.c_void_p(contexts[1])))]
