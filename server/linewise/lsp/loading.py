"""Loads the model in the background when the server starts, and remembers how that went."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass

from linewise.configuration import Settings
from linewise.configuration.variables import engine_variables
from linewise.engines.protocol import CancelSignal, Engine
from linewise.errors import LinewiseError, ModelError, ServerError
from linewise.formats import format_of
from linewise.formats.protocol import Format
from linewise.models.opening import configured_model_path, open_engine
from linewise.serving.client import ServerEngine
from linewise.serving.connection import CancelledError
from linewise.serving.starting import Starter

logger = logging.getLogger(__name__)


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
        engine = open_engine(settings)
    return LoadedModel(engine, format_of(engine.info), notice)


def _shared_engine(settings: Settings, cancel: CancelSignal | None) -> Engine:
    model = configured_model_path(settings)
    return ServerEngine(Starter(model, variant=engine_variables(settings)), cancel)


class Loading:
    """The load that runs while the editor is already being served; `settings` say what, until it starts."""

    def __init__(self, engine: Engine | None) -> None:
        self.settings = Settings()
        self._engine = engine
        self._result: asyncio.Future[LoadedModel] | None = None
        self._thread: threading.Thread | None = None
        self._loaded: LoadedModel | None = None
        self._closing = threading.Event()

    def start(self) -> asyncio.Future[LoadedModel]:
        """Begin to load, once; the future ends with the model or with the LinewiseError that says why not."""
        if self._result is None:
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

    def close(self) -> None:
        """Free the model's memory."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        if self._loaded is not None:
            self._loaded.engine.close()

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

    def _finish(self, error: LinewiseError | None) -> None:
        if self._result is None or self._result.done():
            return
        if self._loaded is not None:
            self._result.set_result(self._loaded)
        elif error is not None:
            self._result.set_exception(error)
