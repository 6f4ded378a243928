"""Follows the files of settings and models: what was changed is served from the next request on.

A setting that is wrong, and a model that cannot be loaded or does not generate, change nothing: what served
before serves on, and the user is told why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

from linewise.configuration import FILE_NAMES, Configuration, Settings, user_file
from linewise.errors import LinewiseError
from linewise.lsp.loading import Loading
from linewise.lsp.messages import Messages
from linewise.models import registry_folder
from linewise.models.opening import configured_model_path
from linewise.serving.fingerprint import fingerprint

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.5
"""How long nothing must change before it is looked at: a file is seldom written at once."""

_READING = frozenset({"opened", "closed_no_write"})
_LEAVING = frozenset({"deleted", "moved"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one served model from another: the way it runs, its path, and the state of its file."""

    way: tuple[object, ...]
    model: Path | None = None
    state: str = ""


class Watching:
    """Reads the settings again when a file changes, and switches the model where that asks for it."""

    def __init__(
        self,
        read: Callable[[], Configuration],
        apply: Callable[[Settings], None],
        loading: Loading,
        messages: Messages,
    ) -> None:
        """`read` gives the settings that hold now, `apply` makes them hold for all but the model."""
        self._read, self._apply, self._loading, self._messages = read, apply, loading, messages
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._observer = Observer()
        self._folders: dict[Path, ObservedWatch] = {}
        self._gone: set[Path] = set()  # what was deleted or moved, folders that are watched among it
        self._followed: frozenset[Path] = frozenset()
        self._places: tuple[Path, ...] = ()
        self._served = self._asked = Identity(())

    def start(self, workspace: Path | None) -> None:
        """Begin to watch; call it on the event loop, once the loading has its settings."""
        self._loop = asyncio.get_running_loop()
        files = [workspace / name for name in FILE_NAMES] if workspace is not None else []
        self._places = (user_file(), user_file().with_name("trusted.json"), *files, registry_folder())
        self._task = asyncio.ensure_future(self._begin(self._loading.settings))

    async def close(self) -> None:
        """Watch no longer, and wait for no switch in progress."""
        for waiting in (self._timer, self._task):
            if waiting is not None:
                waiting.cancel()
        if self._observer.is_alive():
            self._observer.stop()
            await asyncio.to_thread(self._observer.join)

    async def _begin(self, settings: Settings) -> None:
        self._served = self._asked = await asyncio.to_thread(_identity, settings)
        try:
            self._observer.start()
        except OSError as error:  # such as no inotify instances left
            logger.warning("Files of settings and models are not watched: %s", error)
            return
        await self._follow()  # what changed since the settings were read

    def _watch(self, model: Path | None) -> None:
        """Watch the folders of what is to be followed, as far as they are there; on a thread."""
        self._followed = frozenset([*self._places, *filter(None, [model])])
        files = [place.parent for place in self._followed] + [registry_folder()]
        while self._gone:
            watch = self._folders.pop(self._gone.pop(), None)
            if watch is not None:  # of a folder that was made anew nothing would come
                self._observer.unschedule(watch)
        for folder in {_nearest(folder) for folder in files} - self._folders.keys():
            try:
                self._folders[folder] = self._observer.schedule(
                    _Handler(self._changed_from_thread), str(folder), recursive=False
                )
            except OSError as error:
                logger.warning("%s is not watched: %s", folder, error)

    def _changed_from_thread(self, paths: Set[Path], gone: Set[Path]) -> None:
        registry, followed = registry_folder(), self._followed
        parents = {parent for place in followed for parent in place.parents}
        self._gone.update(parents & gone)
        if self._loop is not None and any(
            path in followed or path in parents or path.parent == registry for path in paths
        ):
            try:
                self._loop.call_soon_threadsafe(self._changed)
            except RuntimeError:
                logger.debug("The server ended while a file changed")

    def _changed(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._loop is not None
        self._timer = self._loop.call_later(QUIET_SECONDS, self._look)

    def _look(self) -> None:
        if self._task is not None and not self._task.done():
            self._again = True  # it has read the settings already
            return
        self._task = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        while True:
            self._again = False
            await self._follow_once()
            if not self._again:
                return

    async def _follow_once(self) -> None:
        # Watched before it is read, so that no change falls between the two.
        await asyncio.to_thread(self._watch, self._asked.model)
        configuration = await asyncio.to_thread(self._read)
        identity = await asyncio.to_thread(_identity, configuration.settings)
        if identity.model != self._asked.model:
            await asyncio.to_thread(self._watch, identity.model)
            identity = await asyncio.to_thread(_identity, configuration.settings)
        self._messages.errors_once([problem.message for problem in configuration.problems])
        if any(not problem.refused for problem in configuration.problems):
            return  # half of what was set would be a third way, which nobody asked for
        settings = configuration.settings
        self._apply(settings)
        if identity in (self._served, self._asked):  # what fails is not tried again before something changes
            self._asked = identity
            return
        self._asked = identity
        # A shared server ends when the file that it serves is replaced: nothing serves meanwhile.
        in_place = (identity.way, identity.model) == (self._served.way, self._served.model)
        try:
            model = await self._loading.replace(settings, hold=in_place)
        except LinewiseError as error:
            self._messages.error(f"The model that is set now is not used, and the one before stays: {error}")
            return
        self._served = identity
        if model.notice is not None:
            self._messages.info_once(model.notice)
        self._messages.info(f"{model.engine.info.name} is served from now on.")


class _Handler(FileSystemEventHandler):
    """Tells of the paths that something happened to, and of those that are no longer what they were."""

    def __init__(self, tell: Callable[[Set[Path], Set[Path]], None]) -> None:
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, on a thread of its own."""
        if event.event_type not in _READING:
            paths = {Path(str(path)) for path in (event.src_path, event.dest_path) if path}
            self._tell(paths, {Path(str(event.src_path))} if event.event_type in _LEAVING else set())


def _identity(settings: Settings) -> Identity:
    """What `settings` have served, as it is now; it may read a model's file."""
    way = (settings.engine, settings.http, settings.context_length, settings.threads, settings.serve.enabled)
    if settings.engine.kind == "http":
        return Identity(way)
    try:
        path = configured_model_path(settings)
    except LinewiseError as error:
        return Identity(way, None, str(error))
    return Identity(way, path, fingerprint(path))


def _nearest(folder: Path) -> Path:
    """`folder`, or what is there of the way to it."""
    return next((there for there in (folder, *folder.parents) if there.is_dir()), Path(folder.anchor))
