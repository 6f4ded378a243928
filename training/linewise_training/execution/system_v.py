"""What is left in a namespace of System V's shared memory, semaphores and messages.

To make such a namespace for each job, and to take it away, costs much. So the Python jobs of one
worker have the same, one after another, until one of them leaves anything there. (POSIX's message queues
belong to it, too, but are forbidden by a limit of 0 bytes; its shared memory and semaphores are files.)
"""

from __future__ import annotations

import ctypes

_SHM_INFO, _MSG_INFO, _SEM_INFO = 14, 12, 19
_SEGMENTS, _QUEUES, _SETS = 0, 0, 7  # which number of those that the kernel tells says how many there are
_libc = ctypes.PyDLL(None)
_FOUND = (ctypes.c_int * 64)()
_INTO = ctypes.byref(_FOUND)
_ZERO = ctypes.c_int(0)
_LOOKS = (
    (_libc["shmctl"], (_ZERO, ctypes.c_int(_SHM_INFO), _INTO), _SEGMENTS),
    (_libc["msgctl"], (_ZERO, ctypes.c_int(_MSG_INFO), _INTO), _QUEUES),
    (_libc["semctl"], (_ZERO, _ZERO, ctypes.c_int(_SEM_INFO), _INTO), _SETS),
)


def anything_left() -> bool:
    """Whether this process's namespace holds a segment, a queue or a set, or will not tell."""
    return any(call(*arguments) < 0 or _FOUND[at] for call, arguments, at in _LOOKS)
