"""Short structured answers by several engines in one run: `python -m benchmarks.serving --json OUT`.

Each client asks for the fields of a support mail, waits for the answer and asks for the next. All prompts begin with
the same instructions and examples, as those of an agent's recipe do; answers take 20 to 40 tokens. The model is the
untuned SmolLM2-135M with adapters of small random weights, so the answers are those of the examples' form and the
arithmetic that of tuned specialists. Every figure of a cell is of the answers that were complete within its time, so
a run ends by itself; processor seconds count all threads of this process and say more than the clock on a machine
that others use.

Rows: `plain` is transformers.generate, one answer after the other, told how many tokens to write and held to no
grammar; `plain, batch` the same for as many prompts as there are clients; `local` and `llamacpp` are our engines,
both held to the schema; `llama.cpp server` is its continuous batching with a slot for each client and its prompt
cache on. A running server with OpenAI's completions API, such as vLLM, joins with --server URL.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import table
from deputize.core.errors import DeputizeError
from deputize.core.records import Contract, Field
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.torch_runtime import has_fast_bf16, torch_module
from deputize.specialists.writing.answer_grammar import grammar_of
from deputize.specialists.writing.completions_server import JsonApi
from deputize.specialists.writing.llama_adapter import write_adapter
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf

MODEL = "SmolLM2-135M-Instruct"
TOPICS = ("refund_request", "delivery_delay", "login_problem", "damaged_product")
CONTRACT = Contract(
    kind="json",
    fields=[
        Field(name="topic", type="label", labels=list(TOPICS)),
        Field(name="order", type="value"),
        Field(name="email", type="value"),
    ],
)
MOST = 64
"""Tokens of an answer."""


class Mail(NamedTuple):
    """One mail and its fields."""

    text: str
    answer: dict[str, str]


class Cell(NamedTuple):
    """The answers of one engine in its time."""

    seconds: list[float]
    """Of each answer, from when it was asked for."""
    wall_s: float
    cpu_s: float
    n_tokens: int


Engine = Callable[[Sequence[str], int, int, float], Cell]
"""(prompts, clients, adapters, seconds) -> what was answered."""


def mails(n: int, seed: int) -> list[Mail]:
    """Invented mails."""
    rng = random.Random(seed)
    names, out = ("ada", "jose", "mei", "omar", "lena", "tom"), []
    for _ in range(n):
        topic, order = rng.choice(TOPICS), f"LH-{rng.randrange(10_000, 99_999)}"
        email = f"{rng.choice(names)}{rng.randrange(99)}@example.org"
        text = f"{topic.replace('_', ' ')}, order {order}, please write to {email}, thank you"
        out.append(Mail(text, {"topic": topic, "order": order, "email": email}))
    return out


def prompts(n: int, seed: int) -> list[str]:
    """Prompts that begin alike: an instruction and examples in the form in which answers are written."""
    head = "Read the mail. Write its topic, its order and its address, one a line.\n"
    for mail in mails(6, seed + 1):
        head += f"\nMail: {mail.text}\n " + "\n ".join(mail.answer.values()) + "\n"
    return [f"{head}\nMail: {mail.text}" for mail in mails(n, seed)]


class Bench:
    """The model, its adapters on disk, and the form of the answers."""

    def __init__(self, folder: Path, n_adapters: int) -> None:
        torch = torch_module()
        self.folder, self.path = folder, catalogue.model_path(MODEL, models_path())
        self.base = LanguageModel(self.path, "cpu", "bf16" if has_fast_bf16("cpu") else "fp32")
        rng = torch.Generator().manual_seed(0)
        self.names = [f"bench{n}" for n in range(n_adapters)]
        for name in self.names:
            self.base.new_adapter(name, {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"})
            for _, weights in self.base.adapter_parameters(name):
                weights.data.normal_(std=0.003, generator=rng)
            self.base.save_adapter(name, folder / name)
        # an answer begins right behind its prompt, as in the examples
        self.base.__dict__["frame"] = type(self.base.frame)(before="", after="\n")
        self.schema = learn_schema(CONTRACT, [mail.answer for mail in mails(60, 9)])
        self.grammar = grammar_of(self.schema, partial(slot_ids, self.base))

    def ids(self, text: str) -> list[int]:
        """The tokens of a prompt."""
        return self.base.prompt_ids([text], 2048)[0]

    def predictor(self, adapter: int) -> DecoderPredictor:
        """Our engine with one of the adapters."""
        return DecoderPredictor(self.base, self.names[adapter], self.schema, 2048, 24)


def local(bench: Bench, lengths: dict[str, int]) -> Engine:
    """Our own engine, as the worker runs it: answers join and leave the batch as they come."""

    def run(texts: Sequence[str], clients: int, adapters: int, limit_s: float) -> Cell:
        specialists = [bench.predictor(n) for n in range(adapters)]
        for one in specialists:
            one.predict([texts[0]])  # what a running worker has done: the shared beginning is read
        writing, waiting = specialists[0].begin(), list(enumerate(texts))
        seconds: list[float] = []
        began, cpu = time.perf_counter(), time.process_time()

        def ask() -> None:
            if not waiting or time.perf_counter() - began > limit_s:
                return
            number, text = waiting.pop(0)
            asked = time.perf_counter()

            def told(prediction: Any) -> None:
                lengths[text] = prediction.n_output_tokens
                seconds.append(time.perf_counter() - asked)
                done.append(text)

            fresh.append(specialists[number % adapters].to_write(text, told))

        fresh, done = list[Any](), list[str]()
        for _ in range(clients):
            ask()
        n_told = 0
        while fresh or len(writing):
            batch, fresh = fresh, []
            if batch:
                writing.add(batch)
            writing.step()
            for _ in range(len(done) - n_told):
                ask()
            n_told = len(done)
        wall, spent = time.perf_counter() - began, time.process_time() - cpu
        return Cell(seconds, wall, spent, sum(lengths[text] for text in done))

    return run


def plain(bench: Bench, lengths: dict[str, int], *, batch: bool) -> Engine:
    """transformers.generate with the adapter active, greedy."""
    torch = torch_module()

    def write(texts: Sequence[str]) -> None:
        rows = [bench.ids(text) for text in texts]
        longest = max(map(len, rows))
        ids = torch.tensor([[bench.base.pad] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        most = max(lengths.get(text, 30) for text in texts)
        with torch.inference_mode():
            bench.base.lm.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=most,
                min_new_tokens=most,
                do_sample=False,
                pad_token_id=bench.base.pad,
            )

    def run(texts: Sequence[str], clients: int, adapters: int, limit_s: float) -> Cell:
        size = clients if batch else 1
        seconds, n_tokens = list[float](), 0
        began, cpu = time.perf_counter(), time.process_time()
        asked = [began] * clients
        for at in range(0, len(texts), size):
            if time.perf_counter() - began > limit_s:
                break
            bench.base.use(bench.names[(at // size) % adapters])
            write(texts[at : at + size])
            now = time.perf_counter()
            for text in texts[at : at + size]:
                # each client waits for its turn
                seconds.append(now - asked.pop(0))
                asked.append(now)
                n_tokens += lengths.get(text, 30)
        return Cell(seconds, time.perf_counter() - began, time.process_time() - cpu, n_tokens)

    return run


def asked_at_once(
    texts: Sequence[str], clients: int, limit_s: float, write: Callable[[int, str], int]
) -> Cell:
    """Clients as threads that ask one question after the other; `write` gives the tokens of an answer."""
    began, cpu = time.perf_counter(), time.process_time()

    def one(job: tuple[int, str]) -> tuple[float, int] | None:
        at = time.perf_counter()
        if at - began > limit_s:
            return None
        n_tokens = write(*job)
        return time.perf_counter() - at, n_tokens

    with ThreadPoolExecutor(clients) as pool:
        found = [one_ for one_ in pool.map(one, enumerate(texts)) if one_ is not None]
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    return Cell([s for s, _ in found], wall, spent, sum(n for _, n in found))


def gguf_files(bench: Bench) -> tuple[Path, list[Path]]:
    """The base and the adapters as GGUF files."""
    base = bench.folder / "base.gguf"
    if not base.is_file():
        write_gguf(LanguageModel(bench.path, "cpu", "fp32"), base, name=MODEL, precision="f16")
    adapters = [bench.folder / f"{name}.gguf" for name in bench.names]
    for name, path in zip(bench.names, adapters, strict=True):
        if not path.is_file():
            write_adapter(bench.folder / name, bench.path, path)
    return base, adapters


def llamacpp(bench: Bench, threads: int) -> Engine:
    """Our engine llamacpp: one answer at a time, held to the grammar."""

    def run(texts: Sequence[str], clients: int, adapters: int, limit_s: float) -> Cell:
        import threading

        base, files = gguf_files(bench)
        engines = [
            LlamaCppEngine(base, context=2048, threads=threads, adapter=file) for file in files[:adapters]
        ]
        turn = threading.Lock()

        def write(number: int, text: str) -> int:
            with turn:
                one = engines[number % adapters]
                return len(one.write_tokens(bench.ids(text), grammar=bench.grammar, most=MOST))

        return asked_at_once(texts, clients, limit_s, write)

    return run


def llama_server(bench: Bench, threads: int) -> Engine:
    """llama.cpp's own server: a slot for each client, its prompt cache on, adapters by request."""

    def run(texts: Sequence[str], clients: int, adapters: int, limit_s: float) -> Cell:
        import json

        import xllamacpp

        base, files = gguf_files(bench)
        params = xllamacpp.CommonParams()
        params.model.path, params.n_parallel, params.n_ctx = str(base), clients, 1024 * clients
        params.warmup, params.verbosity, params.lora_init_without_apply = False, 0, True
        for processor in (params.cpuparams, params.cpuparams_batch):
            processor.n_threads, processor.poll = threads, 0
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 1.0) for file in files[:adapters]]
        server = xllamacpp.Server(params)

        def write(number: int, text: str) -> int:
            asked = {
                "prompt": bench.ids(text),
                "n_predict": MOST,
                "temperature": 0.0,
                "cache_prompt": True,
                "grammar": bench.grammar,
                "lora": [{"id": n, "scale": 1.0 if n == number % adapters else 0.0} for n in range(adapters)],
            }
            found = server.handle_completions(asked)
            reply = json.loads(found) if isinstance(found, str | bytes) else found
            if "error" in reply:
                raise DeputizeError(f"llama.cpp's server says {reply['error']}")
            return int(
                (reply.get("usage") or {}).get("completion_tokens") or reply.get("tokens_predicted", 0)
            )

        for number in range(adapters):
            write(number, texts[-1])  # as for our own engine: what the prompts share is read
        return asked_at_once(texts, clients, limit_s, write)

    return run


def running_server(bench: Bench, url: str, model: str, lengths: dict[str, int]) -> Engine:
    """A server that runs already (vLLM on a CPU or a GPU, ...), told how many tokens to write."""
    api = JsonApi(url)

    def run(texts: Sequence[str], clients: int, adapters: int, limit_s: float) -> Cell:
        def write(number: int, text: str) -> int:
            most = lengths.get(text, 30)
            body = {"model": model, "prompt": bench.ids(text), "max_tokens": most, "temperature": 0}
            api.post("/completions", body)
            return most

        return asked_at_once(texts, clients, limit_s, write)

    return run


def rows(
    engines: dict[str, Engine],
    clients: Sequence[int],
    adapters: Sequence[int],
    n: int,
    limit_s: float,
    seed: int,
) -> Iterator[dict[str, Any]]:
    """One row for each engine, number of clients and number of adapters."""
    texts = prompts(n, seed)
    for n_clients in clients:
        for n_adapters in adapters:
            plain_rate = plain_cpu = 0.0
            for name, engine in engines.items():
                cell = engine(
                    texts[: max(n_clients, min(n, 3 * n_clients + 5))], n_clients, n_adapters, limit_s
                )
                if not cell.seconds:
                    continue
                rate, cpu = len(cell.seconds) / cell.wall_s, cell.cpu_s / len(cell.seconds)
                if name == "plain":
                    plain_rate, plain_cpu = rate, cpu
                ordered = sorted(cell.seconds)
                yield {
                    "clients": n_clients,
                    "adapters": n_adapters,
                    "engine": name,
                    "answers": len(ordered),
                    "answers_per_s": rate,
                    "tokens_per_s": cell.n_tokens / cell.wall_s,
                    "p50_s": statistics.median(ordered),
                    "p95_s": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
                    "cpu_s_per_answer": cpu,
                    "x_plain": rate / plain_rate if plain_rate else None,
                    "x_plain_cpu": plain_cpu / cpu if plain_cpu and cpu else None,
                }


def main() -> int:
    """Entry point."""
    parser = table.arguments("short structured answers by several engines")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--adapters", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--answers", type=int, default=96, help="most answers of a cell")
    parser.add_argument(
        "--limit-s", type=float, default=8.0, help="seconds of a cell, after which nobody asks any more"
    )
    parser.add_argument("--threads", type=int, default=0, help="of every engine; 0: those of torch")
    parser.add_argument(
        "--engines",
        nargs="+",
        default=["plain", "plain, batch", "local", "llamacpp", "llama.cpp server"],
    )
    parser.add_argument("--server", default="", help="the address of a running server, up to and with /v1")
    parser.add_argument("--server-model", default="", help="the name of the model there")
    given = parser.parse_args()
    torch = torch_module()
    if given.threads:
        torch.set_num_threads(given.threads)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            bench = Bench(Path(scratch), max(given.adapters))
            lengths: dict[str, int] = {}
            # so that plain decoding writes answers of the same length
            for text, one in zip(
                texts := prompts(given.answers, given.seed), bench.predictor(0).predict(texts), strict=True
            ):
                lengths[text] = one.n_output_tokens
            engines: dict[str, Engine] = {
                "plain": plain(bench, lengths, batch=False),
                "plain, batch": plain(bench, lengths, batch=True),
                "local": local(bench, dict(lengths)),
                "llamacpp": llamacpp(bench, threads),
                "llama.cpp server": llama_server(bench, threads),
            }
            engines = {name: engines[name] for name in given.engines}
            if given.server:
                engines["server"] = running_server(bench, given.server, given.server_model, lengths)
            found = []
            for row in rows(engines, given.clients, given.adapters, given.answers, given.limit_s, given.seed):
                found.append(row)
                print(
                    f"{row['engine']:<18} {row['clients']:>3} clients, {row['adapters']} adapters: "
                    f"{row['answers_per_s']:.2f} answers a second, {row['cpu_s_per_answer']:.2f} processor seconds each",
                    flush=True,
                )
        except DeputizeError as error:
            print(error, file=sys.stderr)
            return 1
    mean = statistics.fmean(lengths.values())
    table.show(f"answers of {mean:.0f} tokens, {threads} threads, {bench.base.engine}", found)
    table.save(given.json, "serving", {"threads": threads, "tokens_per_answer": mean, "rows": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
