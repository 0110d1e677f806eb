"""The process that holds the models: answers specialists' requests in dynamic batches over a unix socket.

One thread runs language models, one linear ones, others wait for servers; the event loop only moves frames. It ends
when its standard input closes, that is with the process that started it, however that one ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput, DeputizeError
from deputize.core.records import Prediction
from deputize.specialists.base import AnswersOneByOne, Predictor, PredictsEarly, WritesJointly
from deputize.specialists.serving.base import StillLoading
from deputize.specialists.serving.batcher import Batcher, Pending
from deputize.specialists.serving.frames import PredictReply, PredictRequest, WorkerSignals, pack, read
from deputize.specialists.serving.loaded_specialists import LoadsAhead, RoutedSpecialists
from deputize.specialists.serving.specialist_cache import LoadedSpecialist, SpecialistCache
from deputize.specialists.serving.time_at_work import TimeAtWork
from deputize.specialists.serving.worker_troubles import MemoryWatch

log = logging.getLogger("deputize.engine")

_LOOK_FOR_ROUTES_S = 0.5
LOADING = "the specialist is being loaded"


def answer(batch: Sequence[Pending], cache: SpecialistCache) -> None:
    """Answers a batch of one specialist; where it fails as a whole each request is tried alone."""
    try:
        with cache.using(batch[0].ask.specialist) as loaded:
            specialist = loaded.predictor
            if len(batch) > 1 and isinstance(specialist, AnswersOneByOne) and specialist.one_by_one:
                # none waits for those behind it, and what nobody waits for any more is not computed
                for pending in batch:
                    if _is_waited_for(pending):
                        answer([pending], cache)
                return
            predictions = specialist.predict([p.ask.request for p in batch])
        replies = [
            PredictReply(id=p.ask.id, prediction=x, card_sha256=loaded.card_sha256)
            for p, x in zip(batch, predictions, strict=True)
        ]
    except StillLoading as error:
        replies = [PredictReply(id=p.ask.id, error=str(error), is_loading=True) for p in batch]
    except DeputizeError as error:
        replies = [PredictReply(id=p.ask.id, error=str(error)) for p in batch]
    except Exception as error:
        # the edge of the worker: one bad request must not cost the others theirs, nor the worker its life
        log.exception("a batch of %d for %s failed", len(batch), batch[0].ask.specialist)
        if len(batch) > 1:
            for pending in batch:
                answer([pending], cache)
            return
        cache.note_failure(batch[0].ask.specialist, error)
        replies = [
            PredictReply(id=p.ask.id, error=f"the specialist failed: {type(error).__name__}") for p in batch
        ]
    for pending, one in zip(batch, replies, strict=True):
        pending.reply(one)


def answer_jointly(batch: Sequence[Pending], cache: SpecialistCache, queue: Batcher) -> None:
    """Writes the answers of a batch together, and with them those that come meanwhile for the same base model.

    Who comes later does not wait for the end of those before, and a burst for several specialists is one batch. A
    request that is for something else ends this: none joins any more, so that its turn comes. So does one for a
    specialist that is not loaded yet, for nobody whose answer is being written is to wait for that.
    """
    held: dict[str, LoadedSpecialist] = {}
    open_: dict[int, Pending] = {}
    with ExitStack() as stack:
        base, first = _base_of(batch[0].ask.specialist, cache, held, stack)
        if base is None or first is None:
            stack.close()
            answer(batch, cache)
            return
        writing, more = first.begin_writing(), list(batch)
        try:
            while more or len(writing):
                if more:
                    open_ |= {id(pending): pending for pending in more}
                    joining = (_joining(pending, cache, held, open_) for pending in more)
                    writing.add([one for one in joining if one is not None])
                writing.step()
                for key in [key for key, pending in open_.items() if not _is_waited_for(pending)]:
                    del open_[key]
                name = queue.next_name()
                joins = name and cache.has(name) and _base_of(name, cache, held, stack)[0] is base
                more = queue.take_next(name, queue.max_batch - len(writing)) if joins else []
        except Exception:
            # the edge of the worker: each request is tried alone
            log.exception("%d answers of %s failed together", len(open_), batch[0].ask.specialist)
            for pending in list(open_.values()):
                if _is_waited_for(pending):
                    answer([pending], cache)


def _is_waited_for(pending: Pending) -> bool:
    return pending.due > time.monotonic()


def _base_of(
    name: str, cache: SpecialistCache, held: dict[str, LoadedSpecialist], stack: ExitStack
) -> tuple[object | None, WritesJointly | None]:
    """(base model, specialist) where its answers may be written with others; (None, None) elsewhere. It stays loaded
    until the stack is closed."""
    try:
        if name not in held:
            held[name] = stack.enter_context(cache.using(name))
    except (DeputizeError, OSError):
        return None, None  # whoever answers it alone says what is wrong
    specialist = held[name].predictor
    if not isinstance(specialist, WritesJointly):
        return None, None
    base = specialist.written_with
    return base, specialist if base is not None else None


def _joining(
    pending: Pending, cache: SpecialistCache, held: dict[str, LoadedSpecialist], open_: dict[int, Pending]
) -> object | None:
    """The answer to a request, as it joins others; its reply is sent once it is complete. None: it was answered
    alone."""

    def told(prediction: Prediction) -> None:
        open_.pop(id(pending), None)
        pending.reply(PredictReply(id=pending.ask.id, prediction=prediction, card_sha256=loaded.card_sha256))

    try:
        loaded = held[pending.ask.specialist]
        specialist = loaded.predictor
        assert isinstance(specialist, WritesJointly)
        return specialist.to_write(pending.ask.request, told, lambda: _is_waited_for(pending))
    except Exception:
        # a prompt that cannot be read must not cost the others what is written of theirs; it is tried alone
        log.exception("a request for %s cannot join others", pending.ask.specialist)
        open_.pop(id(pending), None)
        answer([pending], cache)
        return None


def answer_early(batch: Sequence[Pending], cache: SpecialistCache, leave: Callable[[Pending], None]) -> None:
    """Answers what the first member of a cascade decides alone, and leaves the rest to whoever has loaded all of
    them."""
    early: list[Prediction | None] = [None] * len(batch)
    card_sha256 = ""
    try:
        with cache.using(batch[0].ask.specialist) as loaded:
            specialist, card_sha256 = loaded.predictor, loaded.card_sha256
            if isinstance(specialist, PredictsEarly):
                early = specialist.predict_early([p.ask.request for p in batch])
    except Exception:
        # the whole specialist is asked all the same, and each of the batch answered
        log.exception("the first member of %s failed", batch[0].ask.specialist)
    for pending, prediction in zip(batch, early, strict=True):
        if prediction is None:
            pending.is_open = True
            leave(pending)
        else:
            pending.reply(PredictReply(id=pending.ask.id, prediction=prediction, card_sha256=card_sha256))


def run_models(
    batcher: Batcher,
    cache: SpecialistCache,
    ahead: LoadsAhead | None = None,
    respond: Callable[[Sequence[Pending], SpecialistCache], None] = answer,
    time_at_work: TimeAtWork | None = None,
) -> None:
    """The model thread: batches as they come, and before each wait the specialists that are to be loaded ahead.

    No request of theirs is taken in meanwhile (`RequestQueues.put`), so the queue is soon empty.
    """
    at_work = time_at_work or TimeAtWork()
    while True:
        batch = batcher.take(0.0 if ahead is not None and ahead.next() else _LOOK_FOR_ROUTES_S)
        if batch:
            with at_work:
                respond(batch, cache)
            continue
        if batcher.closed:
            return
        if ahead is not None and (name := ahead.next()):
            with at_work:
                ahead.load(name)


class RequestQueues:
    """Queues with threads of their own: an answer of a millisecond does not wait behind one of a second."""

    def __init__(self, home: Path, engine: EngineSettings | None = None) -> None:
        """
        Args:
            home: the folder that specialists' paths are relative to.
            engine: what writes the answers of decoders; None: transformers in this process.
        """
        self.home, self.engine = home, engine or EngineSettings()
        self.fast, self.slow = Batcher(), Batcher()
        # one by one: a server makes its own batches, and llama.cpp is slower in them
        self.written = Batcher(max_batch=1, window_s=0.0)
        """Of specialists whose answers are written outside of transformers."""
        self.ahead: dict[int, LoadsAhead] = {}
        """By the id of a queue what its thread loads ahead."""
        self._cards: dict[str, _Card] = {}

    def card(self, name: str) -> _Card:
        """The fields that decide a specialist's queue; those of a slow one where it is not there."""
        known = self._cards.get(name)
        if known is None:
            try:
                known = msgspec.json.decode((self.home / name / "specialist.json").read_bytes(), type=_Card)
            except (OSError, msgspec.DecodeError):
                return _Card()  # the slow queue says what is wrong with it
            self._cards[name] = known
        return known

    def of(self, name: str) -> Batcher:
        """The queue of a specialist: fast for one that answers in a millisecond, slow for one with a language model or
        encoder."""
        card = self.card(name)
        if self.is_written(name):
            return self.written
        return self.fast if card.is_fast else self.slow

    def is_written(self, name: str) -> bool:
        """True for a specialist whose answers are not written by transformers."""
        return self.card(name).kind == "decoder" and self.engine.kind != "local"

    def put(self, pending: Pending) -> None:
        """Adds a request to the queue of its specialist; of a cascade the fast first member is asked first.

        One that would wait while specialists are loaded is refused.
        """
        name = pending.ask.specialist
        queue = self.fast if self.card(name).is_cascade and not pending.is_open else self.of(name)
        ahead = self.ahead.get(id(queue))
        if ahead is not None and ahead.refuses(name):
            pending.reply(PredictReply(id=pending.ask.id, error=LOADING, is_loading=True))
        else:
            queue.put(pending)

    @property
    def is_loading(self) -> bool:
        """True while a specialist of an open route is not loaded yet."""
        return any(ahead.next() for ahead in self.ahead.values())

    def answer_fast(self, batch: Sequence[Pending], cache: SpecialistCache) -> None:
        """Answers a batch of the fast queue, or as much of it as its first member decides."""
        if self.card(batch[0].ask.specialist).is_cascade:
            answer_early(batch, cache, self.put)
        else:
            answer(batch, cache)

    def close(self) -> None:
        """Closes all queues."""
        for queue in (self.fast, self.slow, self.written):
            queue.close()


class _Card(msgspec.Struct):
    """The fields of specialist.json that decide the queue."""

    is_fast: bool = False
    kind: str = ""

    @property
    def is_cascade(self) -> bool:
        return self.kind == "cascade"


async def serve(
    socket: Path,
    queues: RequestQueues,
    ended: asyncio.Event,
    signals: Callable[[], WorkerSignals] = WorkerSignals,
) -> None:
    """Takes connections until `ended`; every request's answer goes back on its own connection, in any order."""
    loop = asyncio.get_running_loop()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(one: PredictReply) -> None:
            if not writer.is_closing():
                writer.write(pack(one))

        def reply(one: PredictReply) -> None:
            loop.call_soon_threadsafe(send, one)

        # those that were answered, or are overdue and dropped, leave it by themselves
        asked: WeakValueDictionary[int, Pending] = WeakValueDictionary()
        try:
            while (ask := await read(reader, PredictRequest)) is not None:
                if not ask.specialist:
                    send(
                        PredictReply(
                            id=ask.id, error="it is there", is_loading=queues.is_loading, signals=signals()
                        )
                    )
                    continue
                asked[ask.id] = pending = Pending(ask, time.monotonic() + ask.within_s, reply)
                queues.put(pending)
        except BadInput as error:
            log.error("a connection is closed: %s", error)
        finally:
            for pending in list(asked.values()):
                pending.due = -math.inf  # who asked is gone
            writer.close()

    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, path=str(socket))
    socket.chmod(0o600)
    log.info("ready")
    await ended.wait()
    server.close()
    socket.unlink(missing_ok=True)


def watch_parent(ended: Callable[[], None]) -> threading.Thread:
    """Calls `ended` when standard input closes: the process that started this one is gone, or wants it to stop."""

    def wait() -> None:
        try:
            while os.read(sys.stdin.fileno(), 4096):
                pass
        except OSError:
            pass
        ended()

    thread = threading.Thread(target=wait, name="parent", daemon=True)
    thread.start()
    return thread


async def main_async(
    home: Path, models_dir: Path, socket: Path, engine: EngineSettings | None = None
) -> None:
    """Runs the worker until its parent lets go of it."""
    # waiting threads must not spin: gateway, agent and worker share few cores
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def let_go() -> None:
        loop.call_soon_threadsafe(ended.set)

    watch_parent(let_go)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    queues = RequestQueues(home, engine)
    groups = _answering_threads(home, models_dir, queues)
    threads = [thread for group in groups for thread in group.threads()]
    for thread in threads:
        thread.start()
    await serve(socket, queues, ended, lambda: signals_of(groups))
    queues.close()
    for thread in threads:
        await asyncio.to_thread(thread.join, 2.0)


def raised(error: BaseException) -> None:
    """Where nobody ends the process."""
    raise error


class AnsweringThreads:
    """The threads that answer what waits in one queue, with the specialists that they have loaded."""

    def __init__(
        self,
        queue: Batcher,
        cache: SpecialistCache,
        ahead: LoadsAhead,
        respond: Callable[[Sequence[Pending], SpecialistCache], None],
        n_threads: int = 1,
        failed: Callable[[BaseException], None] = raised,
    ) -> None:
        self._failed = failed
        self.queue, self.cache, self._ahead, self._respond = queue, cache, ahead, respond
        self.at_work = [TimeAtWork() for _ in range(n_threads)]

    def threads(self) -> list[threading.Thread]:
        """The threads, not started."""
        return [
            threading.Thread(
                target=self._run,
                args=(one,),
                daemon=True,
            )
            for one in self.at_work
        ]

    def _run(self, time_at_work: TimeAtWork) -> None:
        try:
            run_models(self.queue, self.cache, self._ahead, self._respond, time_at_work)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread
            self._failed(error)


def signals_of(groups: Sequence[AnsweringThreads]) -> WorkerSignals:
    """The load of a worker."""
    return WorkerSignals(
        n_waiting=sum(group.queue.n_waiting for group in groups),
        n_loaded=sum(len(group.cache) for group in groups),
        n_threads=sum(len(group.at_work) for group in groups),
        loads=sum(group.cache.n_loads for group in groups),
        evictions=sum(group.cache.n_evictions for group in groups),
        busy_s=sum(one.total_s() for group in groups for one in group.at_work),
        wait_s=sum(group.queue.wait_s for group in groups),
        n_taken=sum(group.queue.n_taken for group in groups),
    )


def _answering_threads(home: Path, models_dir: Path, queues: RequestQueues) -> list[AnsweringThreads]:
    """Who answers, queue by queue."""
    engine, routes, memory = queues.engine, RoutedSpecialists(home), MemoryWatch(home)

    def load_whole(folder: Path) -> Predictor:
        from deputize.specialists.predictor import load

        return load(folder, models_dir, engine=engine)

    def load_early(folder: Path) -> Predictor:
        from deputize.specialists.predictor import load

        return load(folder, models_dir, only_early=True)

    def let_go(specialist: Predictor) -> None:
        from deputize.specialists.predictor import unload

        unload(specialist)

    def is_early(name: str) -> bool:
        return queues.card(name).is_fast or queues.card(name).is_cascade

    def is_slow(name: str) -> bool:
        return not queues.card(name).is_fast and not queues.is_written(name)

    def threads_of(
        queue: Batcher,
        load: Callable[[Path], Predictor],
        wanted: Callable[[str], bool],
        respond: Callable[[Sequence[Pending], SpecialistCache], None],
        n_threads: int = 1,
    ) -> AnsweringThreads:
        most_bytes = engine.max_loaded_mb * 1e6
        cache = SpecialistCache(
            home, load, let_go, most=engine.max_loaded, most_bytes=most_bytes, memory=memory
        )
        ahead = queues.ahead[id(queue)] = LoadsAhead(cache, routes, wanted)
        return AnsweringThreads(queue, cache, ahead, respond, n_threads, memory.thread_failed)

    def answer_slow(batch: Sequence[Pending], cache: SpecialistCache) -> None:
        answer_jointly(batch, cache, queues.slow)

    groups = [
        threads_of(queues.fast, load_early, is_early, queues.answer_fast),
        threads_of(queues.slow, load_whole, is_slow, answer_slow),
    ]
    if engine.kind != "local":
        n_threads = 1 if engine.kind == "llamacpp" else engine.at_once
        groups.append(threads_of(queues.written, load_whole, queues.is_written, answer, n_threads))
    return groups


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `python -m deputize.specialists.serving.worker`; started by WorkerEngine, not by hand."""
    parser = argparse.ArgumentParser(prog="deputize-engine")
    for name in ("--home", "--models", "--socket"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--engine", default="{}", help="settings of the engine, as JSON")
    given = parser.parse_args(arguments)
    engine = EngineSettings.model_validate_json(given.engine)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main_async(given.home, given.models, given.socket, engine))
    # the model thread may be deep inside a kernel: do not wait for it
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
