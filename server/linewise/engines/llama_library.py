"""llama.cpp as a library: loaded once, kept silent, with plain functions over its C interface.

Everything here wraps one call or loop over `llama_cpp.llama_cpp` (ctypes) and knows nothing of prompts or
requests. Handles are the addresses that the C functions return.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linewise.engines.cores import Threads
from linewise.engines.protocol import FimTokens
from linewise.engines.vocabulary import Vocabulary
from linewise.errors import EngineError, ModelError

_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "300"}  # a few microseconds


def _load() -> Any:
    """The library's ctypes module, with OpenMP told how long its threads spin while they wait for each other.

    By default they spin for 3 ms or more. On a machine busy with anything else, a thread that waits for its
    turn then holds all others up for whole time slices: measured, 100 ms a token where 0.4 were needed.
    Threads that sleep at once are woken hundreds of times a step, and two cores then read a prompt no quicker
    than one. A few microseconds are enough against that: 839 tokens take 104 ms on two idle cores, 196
    without spinning, 105 with 10,000 turns of it; beside two busy processes 231, 209 and 1,104. OpenMP
    (GNU's; others know the first variable alone) reads the variables once, when it is loaded with the
    library; nobody else, such as a later import of torch, shall.
    """
    chosen_by_user = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if not chosen_by_user:
        os.environ |= _WAITING
    try:
        from llama_cpp import llama_cpp  # noqa: PLC0415
    finally:
        if not chosen_by_user:
            for name in _WAITING:
                del os.environ[name]
    return llama_cpp


api = _load()

FIM_ORDER = "linewise.fim.order"
"""Metadata key: in which order the model was trained to read prefix and suffix."""

_FIM_ROLES = ("pre", "suf", "mid", "pad", "rep", "sep")
_ERROR, _CONTINUED = 4, 5  # ggml_log_level
_LARGEST_READ = 256 << 20  # bytes: what a second copy in memory may cost
_SMALL_BYTES = 16 << 20  # what processors commonly have as a cache


class _Log:
    """Takes what llama.cpp would print, and keeps the last errors for our own messages."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=4)
        self._level = 0
        # ctypes frees a callback that nobody holds, and llama.cpp would then call into freed memory.
        self._callback = api.llama_log_callback(self._take)

    def install(self) -> None:
        api.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes | None, _: object) -> None:
        self._level = self._level if level == _CONTINUED else level
        line = (text or b"").decode("utf-8", "replace").strip()
        if self._level == _ERROR and line:
            self._lines.append(line)

    def take_errors(self) -> str:
        """The error lines since the last call, as one line."""
        lines = "; ".join(self._lines)
        self._lines.clear()
        return lines


@functools.cache
def _log() -> _Log:
    """The library's log; the first call also starts the library."""
    log = _Log()
    log.install()
    api.llama_backend_init()
    return log


def load_model(path: Path, *, tokenizer_only: bool = False) -> int:
    """Handle of the model in the file at `path`. Free it with `llama_model_free`.

    A file of up to 256 MiB is read, a larger one memory-mapped: who shortens that one ends this process.

    With `tokenizer_only` it has no weights, and tokenizes just as the file says, prefix space and all.
    Raises ModelError with llama.cpp's own reason when it refuses the file.
    """
    log = _log()
    log.take_errors()
    parameters = api.llama_model_default_params()
    parameters.check_tensors = True
    parameters.vocab_only = tokenizer_only
    with suppress(OSError):  # llama.cpp has its own words for a file that is not there
        # A page that a mapped file has no more is no error that could be caught: the kernel sends SIGBUS.
        if path.stat().st_size <= _LARGEST_READ:
            _read_whole(parameters)
    overrides = (api.llama_model_kv_override * 2)()  # the empty second one ends the list
    # A SentencePiece vocabulary would put a space before every segment, and so into the middle of words.
    overrides[0].tag = api.LLAMA_KV_OVERRIDE_TYPE_BOOL
    overrides[0].key = b"tokenizer.ggml.add_space_prefix"
    overrides[0].value.val_bool = False
    if not tokenizer_only:
        parameters.kv_overrides = overrides
    model = api.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        reason = log.take_errors() or "it gave no reason"
        raise ModelError(f"llama.cpp cannot load {path} ({reason}): get the model again, or export it anew.")
    return int(model)


def _read_whole(parameters: Any) -> None:
    """Have the model's file read instead of mapped, in the way of this version of llama-cpp-python."""
    if hasattr(parameters, "load_mode"):
        parameters.load_mode = api.LLAMA_LOAD_MODE_NONE
    else:
        parameters.use_mmap = False


def is_small(model: int) -> bool:
    """Whether the processor computes `model` out of its own cache, so that its weights are read for nothing.

    Then attention is a large part of a step, sequences gain little from being read together, and llama.cpp's
    flash attention, which takes each token by itself, is dear (5M parameters, 700 tokens in the cache, one
    core: a token 0.54 ms with it, 0.47 without; four at once 1.68 and 0.98; but eight of eight sequences
    4.0 and 6.2). With 30M parameters it is the other way round.
    """
    return int(api.llama_model_size(model)) <= _SMALL_BYTES and not api.llama_supports_gpu_offload()


def open_context(
    model: int,
    *,
    tokens: int,
    chunk: int,
    threads: Threads,
    sequences: int = 1,
    flash_attention: bool = True,
) -> int:
    """Handle of a context for `tokens` tokens, read in chunks of at most `chunk`.

    The tokens are shared out evenly among `sequences`, each of which has a stream of its own in the cache.
    With `flash_attention` llama.cpp uses it where it can. Raises EngineError when there is not enough memory.
    """
    log = _log()
    log.take_errors()
    parameters = api.llama_context_default_params()
    parameters.n_ctx = tokens
    parameters.n_batch = parameters.n_ubatch = chunk
    parameters.n_threads, parameters.n_threads_batch = threads.generating, threads.reading
    parameters.n_seq_max, parameters.kv_unified = sequences, False
    if not flash_attention:
        parameters.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = api.llama_init_from_model(model, parameters)
    if not context:
        reason = log.take_errors() or "it gave no reason"
        raise EngineError(
            f"llama.cpp cannot make a context of {tokens} tokens ({reason}): "
            "free some memory or set a smaller context length."
        )
    return int(context)


def decode(context: int, batch: Any) -> None:
    """Run `batch` (a `llama_batch`) through the model. Raises EngineError when llama.cpp fails."""
    status = api.llama_decode(context, batch)
    if status != 0:
        reason = _log().take_errors() or "it gave no reason"
        raise EngineError(
            f"llama.cpp failed to decode (status {status}; {reason}): try again, or reload the model."
        )


def quantize(
    source: Path,
    target: Path,
    file_type: int,
    threads: int,
    importance: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write `source` to `target` in llama.cpp's file type `file_type`. Raises ModelError when it fails.

    `importance` has, by tensor name, the mean square of what each input channel carries: rounding then
    spares the channels that matter (llama.cpp's importance matrix).
    """
    log = _log()
    log.take_errors()
    parameters = api.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = threads
    held = {name: np.ascontiguousarray(values, np.float32) for name, values in (importance or {}).items()}
    table = (api.llama_model_imatrix_data * (len(held) + 1))()  # the empty last one ends the list
    for place, (name, values) in enumerate(held.items()):
        table[place].name = name.encode()
        table[place].data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        table[place].size = values.size
    if held:
        parameters.imatrix = table
    status = api.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if status != 0:
        reason = log.take_errors() or "it gave no reason"
        raise ModelError(f"llama.cpp cannot quantize {source} ({reason}): try another type, or f16.")


def metadata(model: int) -> Mapping[str, str]:
    """The model file's scalar metadata, each value as text."""
    found = {}
    for index in range(api.llama_model_meta_count(model)):
        key = _text(functools.partial(api.llama_model_meta_key_by_index, model, index))
        found[key] = _text(functools.partial(api.llama_model_meta_val_str_by_index, model, index))
    return found


def _text(write: Callable[[Any, int], int]) -> str:
    """What `write(buffer, size)` writes; it returns the length that it needs, as C's snprintf does."""
    size = 256
    while True:
        buffer = ctypes.create_string_buffer(size)
        needed = int(write(buffer, size))
        if needed < size:
            return buffer.raw[: max(needed, 0)].decode("utf-8", "replace")
        size = needed + 1


def read_vocabulary(model: int) -> Vocabulary:
    """Every token of `model`, with its role."""
    handle = api.llama_model_get_vocab(model)
    count = api.llama_vocab_n_tokens(handle)
    buffer = ctypes.create_string_buffer(512)
    pieces: list[bytes] = []
    control, ends, unused = set(), set(), set()
    special: dict[str, int] = {}
    kept_whole: dict[str, int] = {}
    for id_ in range(count):
        length = api.llama_token_to_piece(handle, id_, buffer, len(buffer), 0, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = api.llama_token_to_piece(handle, id_, buffer, len(buffer), 0, True)
        piece = buffer.raw[:length]
        pieces.append(piece)
        attributes = api.llama_vocab_get_attr(handle, id_)
        if attributes & (api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNKNOWN):
            control.add(id_)
            special[piece.decode("utf-8", "replace")] = id_
        elif attributes & api.LLAMA_TOKEN_ATTR_USER_DEFINED:
            kept_whole[piece.decode("utf-8", "replace")] = id_
        elif attributes & api.LLAMA_TOKEN_ATTR_UNUSED:
            unused.add(id_)
        if api.llama_vocab_is_eog(handle, id_):
            ends.add(id_)
    for id_ in _fim_ids(handle).values():  # some files call them ordinary text; no document may forge them
        control.add(id_)
        special[pieces[id_].decode("utf-8", "replace")] = id_
    return Vocabulary(
        tuple(pieces), frozenset(control), {**kept_whole, **special}, frozenset(ends), frozenset(unused)
    )


def begin_token(model: int, vocabulary: Vocabulary) -> str:
    """The special token, by its text, that every text of `model` begins with; empty where there is none."""
    handle = api.llama_model_get_vocab(model)
    begin = api.llama_vocab_bos(handle)
    begins = api.llama_vocab_get_add_bos(handle) and 0 <= begin < len(vocabulary.pieces)
    return vocabulary.pieces[begin].decode("utf-8", "replace") if begins else ""


def read_fim_tokens(model: int, vocabulary: Vocabulary) -> FimTokens | None:
    """The tokens with which `model` fills in the middle, as its file names them or llama.cpp knows them by
    their texts; None where it lacks any of the three.

    The order is prefix, suffix, middle, unless the file says `spm` under `linewise.fim.order`. Raises
    ModelError for any other word there.
    """
    handle = api.llama_model_get_vocab(model)
    texts = {
        role: vocabulary.pieces[id_].decode("utf-8", "replace") for role, id_ in _fim_ids(handle).items()
    }
    if not {"pre", "suf", "mid"} <= texts.keys():
        return None
    order = metadata(model).get(FIM_ORDER, "psm")
    if order not in ("psm", "spm"):
        raise ModelError(f"The model's metadata has {FIM_ORDER} = {order!r}: it must be psm or spm.")
    return FimTokens(
        texts["pre"],
        texts["suf"],
        texts["mid"],
        begin=begin_token(model, vocabulary),
        ends=tuple(text for role, text in texts.items() if role in ("pad", "rep", "sep")),
        order="spm" if order == "spm" else "psm",
    )


def _fim_ids(handle: Any) -> dict[str, int]:
    """Ids of the fill-in-the-middle tokens of a vocabulary, by llama.cpp's names of their roles."""
    ids = {role: getattr(api, f"llama_vocab_fim_{role}")(handle) for role in _FIM_ROLES}
    return {role: id_ for role, id_ in ids.items() if id_ >= 0}


def tokenize(model: int, text: str) -> tuple[int, ...]:
    """Ids of the tokens of plain `text`: no begin token, and no control token whatever the text says.

    A lone surrogate, which UTF-8 cannot write, is read as U+FFFD.
    """
    if not text:
        return ()
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raw = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    handle = api.llama_model_get_vocab(model)
    size = len(raw) + 1
    buffer = (api.llama_token * size)()
    count = api.llama_tokenize(handle, raw, len(raw), buffer, size, False, False)
    if count < 0:
        buffer = (api.llama_token * -count)()
        count = api.llama_tokenize(handle, raw, len(raw), buffer, -count, False, False)
    if count < 0:
        raise EngineError(f"llama.cpp cannot tokenize a text of {len(raw):,} bytes: make it shorter.")
    return tuple(buffer[:count])
