"""Loads the model in the background when the server starts, and another one beside it when that is asked for.

A request uses the model that serves when it begins, to its end; a model that serves no longer is freed when
its last request has ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from linewise.configuration import Settings
from linewise.configuration.variables import engine_variables
from linewise.edits import EditLog
from linewise.engines.protocol import CancelSignal, Engine, KeepsDocuments, Request, Sampling
from linewise.errors import LinewiseError, ModelError, NewerServerError, ServerError
from linewise.formats import format_of
from linewise.formats.protocol import Cursor, Format
from linewise.models.description import describe
from linewise.models.opening import configured_model_path, open_shared_engine
from linewise.serving.client import ServerEngine
from linewise.serving.connection import CancelledError
from linewise.serving.starting import Starter

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""How long after other servers did not answer they are asked again, once a request comes."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An engine, and the Format that its model was trained on; `notice` is what a user should know of it."""

    engine: Engine
    format: Format
    notice: str | None = None


def load_model(settings: Settings, engine: Engine | None, cancel: CancelSignal | None = None) -> LoadedModel:
    """The model that `settings` ask for, unless `engine` is given ready: the shared server's, or our own.

    Raises ModelError for a model that is missing, damaged, or trained on a Format that is unknown here.
    """
    notice = None
    # A model on other servers is shared already.
    if engine is None and settings.serve.enabled and settings.engine.kind != "http":
        try:
            engine = _shared_engine(settings, cancel)
        except ServerError as error:
            notice = f"The model runs inside this editor's own language server. {error}"
    if engine is None:
        engine = open_shared_engine(settings)
    return LoadedModel(engine, format_of(engine.info), notice)


def _shared_engine(settings: Settings, cancel: CancelSignal | None) -> Engine:
    model = configured_model_path(settings)
    return ServerEngine(Starter(model, variant=engine_variables(settings), check=_require_whole), cancel)


def _require_whole(model: Path) -> None:
    """Raise ModelError for a model file that is cut off; what a folder holds, its engine says."""
    if model.is_file():
        describe(model)


def try_model(model: LoadedModel) -> None:
    """Let the model generate a token. Raises EngineError where it cannot."""
    prompt = model.format.inline_prompt(EditLog.open("x = 1\n"), "example.py", Cursor(1, 0))
    request = Request(prompt.segments, Sampling(max_tokens=1), prompt.healed, prompt.stop)
    for _ in model.engine.stream(request):
        pass


class Loading:
    """The load that runs while the editor is already being served; `settings` say what is loaded."""

    def __init__(self, engine: Engine | None) -> None:
        self.settings = Settings()
        self._engine = engine
        self._result: asyncio.Future[LoadedModel] | None = None
        self._thread: threading.Thread | None = None
        self._loaded: LoadedModel | None = None
        self._failed_at = 0.0
        self._closing = threading.Event()
        self._replacing = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._users: Counter[int] = Counter()
        self._retired: dict[int, LoadedModel] = {}

    def start(self) -> asyncio.Future[LoadedModel]:
        """Begin to load, once; the future ends with the model or with the LinewiseError that says why not.

        Servers that did not answer are asked again when that is a while ago: nothing tells when they do.
        """
        if self._result is None or self._is_worth_another_try(self._result):
            loop = asyncio.get_running_loop()
            self._result = loop.create_future()
            self._thread = threading.Thread(
                target=self._load, args=(loop,), name="linewise-load", daemon=True
            )
            self._thread.start()
        return self._result

    async def model(self) -> LoadedModel:
        """The model, once it is loaded. Raises the LinewiseError of a load that failed."""
        return await asyncio.shield(self.start())

    @asynccontextmanager
    async def use(self) -> AsyncIterator[LoadedModel]:
        """The model, which is not freed before the block has ended. Raises as `model` does."""
        model = await self.model()
        while model is not self._loaded:  # it was replaced before this could go on
            model = await self.model()
        self._users[id(model)] += 1
        try:
            yield model
        except NewerServerError:
            if model is self._loaded and (self._leaving is None or self._leaving.done()):
                self._leaving = asyncio.ensure_future(self._leave_server())
            raise
        finally:
            self._users[id(model)] -= 1
            await self._free_unused()

    async def replace(self, settings: Settings, *, hold: bool = False) -> LoadedModel:
        """Load what `settings` ask for beside the model that serves, try it, and serve it from then on.

        With `hold`, requests that begin meanwhile wait for it. Raises the LinewiseError that says why it
        cannot be served; then all is as before.
        """
        async with self._replacing:
            before = self.start()
            await asyncio.wait([before])
            loop = asyncio.get_running_loop()
            after: asyncio.Future[LoadedModel] = loop.create_future()
            if hold:
                self._result = after
            try:
                new = await asyncio.to_thread(self._load_beside, settings)
            except BaseException:
                self._result = before
                if hold:  # those that wait go on with the model before
                    _copy(before, after)
                raise
            old, self._loaded, self.settings, self._result = self._loaded, new, settings, after
            after.set_result(new)
            if old is not None:
                self._retired[id(old)] = old
                await self._free_unused()
            return new

    def forget(self, key: str) -> None:
        """A document was closed: let no engine keep anything of it. Returns at once."""
        for model in (*self._retired.values(), *filter(None, [self._loaded])):
            if isinstance(model.engine, KeepsDocuments):
                # On a thread: the engine may be far away.
                asyncio.get_running_loop().run_in_executor(None, model.engine.forget, key)

    def close(self) -> None:
        """Free the model's memory."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        for model in (*self._retired.values(), *filter(None, [self._loaded])):
            model.engine.close()

    def _load_beside(self, settings: Settings) -> LoadedModel:
        """Load a model and try it, on a thread. Raises LinewiseError."""
        try:
            model = load_model(settings, None, self._closing)
            try:
                try_model(model)
                if self._closing.is_set():
                    raise CancelledError
            except BaseException:
                model.engine.close()
                raise
        except CancelledError:
            raise ModelError("The server ends.") from None
        except LinewiseError:
            raise
        except Exception as unknown:
            logger.exception("The model could not be loaded")
            raise ModelError(f"it could not be loaded: {unknown}; run `linewise doctor`.") from unknown
        return model

    async def _leave_server(self) -> None:
        """Go on with the model in this process, after a newer version's server took the place of ours."""
        try:
            await self.replace(self.settings, hold=True)
        except LinewiseError as error:
            logger.warning("The model cannot be served from here: %s", error)

    async def _free_unused(self) -> None:
        for key in [key for key in self._retired if not self._users[key]]:
            model = self._retired.pop(key)
            del self._users[key]
            await asyncio.to_thread(model.engine.close)

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        error: LinewiseError | None = None
        try:
            self._loaded = load_model(self.settings, self._engine, self._closing)
        except CancelledError:
            return
        except LinewiseError as known:
            error = known
        except Exception as unknown:
            logger.exception("The model could not be loaded")
            error = ModelError(f"The model could not be loaded: {unknown}; run `linewise doctor`.")
        try:
            loop.call_soon_threadsafe(self._finish, error)
        except RuntimeError:
            logger.debug("The server ended while the model was loading")

    def _is_worth_another_try(self, result: asyncio.Future[LoadedModel]) -> bool:
        if self.settings.engine.kind != "http" or not result.done() or result.cancelled():
            return False
        waited = time.monotonic() - self._failed_at >= RETRY_SECONDS
        return result.exception() is not None and waited and not self._replacing.locked()

    def _finish(self, error: LinewiseError | None) -> None:
        if self._result is None or self._result.done():
            return
        if self._loaded is not None:
            self._result.set_result(self._loaded)
        elif error is not None:
            self._failed_at = time.monotonic()
            self._result.set_exception(error)


def _copy(before: asyncio.Future[LoadedModel], after: asyncio.Future[LoadedModel]) -> None:
    error = before.exception()
    if error is None:
        after.set_result(before.result())
    else:
        after.set_exception(error)
        after.exception()  # nobody need wait for it
