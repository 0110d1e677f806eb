"""The form "onnx": a graph from token ids, or from the rows of hashed features, to the log-probabilities of closed
choices.

Legend: N texts, A active features, T tokens, S states of a text.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.classification_head import read_heads
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.hashed_features import counts_of, vectors_of_counts
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.linear_model import LINEAR_FILE, LinearModel
from deputize.specialists.pooled_states import middle_layer
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.state_heads import ENCODER_FOLDER, HEADS_FILE, load_states
from deputize.specialists.text_encoder import TextEncoder, is_encoder
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import base_folder, merged_model

GRAPH_FILE, TOKENIZER_FOLDER = "model.onnx", "tokenizer"
OPSET = 18
KINDS = ("linear", "states", "head")


class OnnxForm:
    """One graph without control flow: of specialists that choose their answers in one pass."""

    name, precisions = "onnx", ("f32",)

    def refusal(self, stored: StoredSpecialist) -> str:
        if stored.card.kind in KINDS:
            return ""
        return "it writes or copies values, and an ONNX graph has no place for the loop that does so"

    def require(self) -> None:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            if find_spec(package) is None:
                raise MissingExtra.package(package, "onnx")

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        self.require()
        outputs = "The outputs `log_p_0`, `log_p_1`, ... are the log-probabilities of the choices of each question, in the order of answer_schema.json."
        if stored.card.kind == "linear":
            _write_linear(LinearModel.load(stored.folder / LINEAR_FILE), folder / GRAPH_FILE)
            shutil.copy(stored.folder / LINEAR_FILE, folder / LINEAR_FILE)
            return (
                f"`{GRAPH_FILE}` takes `rows` [N, A]: hashed n-grams of words and characters of the pruned prompt, weighed and "
                f"normalised as in `deputize/specialists/hashed_features.py`, the buckets `active` of `{LINEAR_FILE}`. {outputs}"
            )
        tokenizer = _write_graph(stored, folder / GRAPH_FILE)
        tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)
        return (
            f"`{GRAPH_FILE}` takes `ids` [1, T], the tokens of one framed prompt (`{TOKENIZER_FOLDER}/`, recipe.json), in 32 bits. "
            f"{outputs}"
        )

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        self.require()
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / GRAPH_FILE), providers=["CPUExecutionProvider"])
        answers = _answers(stored)
        run: Callable[[Sequence[str]], ClosedScores]
        if stored.card.kind == "linear":
            model = LinearModel.load(folder / LINEAR_FILE)

            def run(texts: Sequence[str]) -> ClosedScores:
                counts_NF = counts_of(texts, model.idf_F.shape[0] // 2)
                rows_NA = vectors_of_counts(counts_NF, model.idf_F)[:, model.active_A].toarray()
                return ClosedScores(session.run(None, {"rows": rows_NA.astype(np.float32)}), [0] * len(texts))

        else:
            rows_of = _rows(stored)

            def run(texts: Sequence[str]) -> ClosedScores:
                rows = rows_of(texts)
                each = [session.run(None, {"ids": np.array([row], dtype=np.int64)}) for row in rows]
                return ClosedScores(
                    [np.concatenate(q) for q in zip(*each, strict=True)], [len(r) for r in rows]
                )

        return LoadedExport(OnnxPredictor(answers, run), f"onnxruntime {onnxruntime.__version__}, f32 on cpu")


ONNX = OnnxForm()


class OnnxPredictor:
    """Closed answers by a graph."""

    def __init__(self, answers: ClosedAnswers, scores: Callable[[Sequence[str]], ClosedScores]) -> None:
        self.answers, self.scores = answers, scores

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return choose_each(self.answers, self.scores(texts)) if texts else []


def _answers(stored: StoredSpecialist) -> ClosedAnswers:
    answers = closed(stored.settings.schema, partly=stored.card.kind != "head")
    if answers is None:
        raise BadInput(f"{stored.card.id}: its answers are not closed")
    return answers


def _write_linear(model: LinearModel, path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights, outputs = [], [], []
    for q, (weights_AC, bias_C) in enumerate(zip(model.weights, model.biases, strict=True)):
        weights += [
            numpy_helper.from_array(weights_AC.astype(np.float32), f"weights_{q}"),
            numpy_helper.from_array(bias_C.astype(np.float32), f"bias_{q}"),
        ]
        nodes += [
            helper.make_node("Gemm", ["rows", f"weights_{q}", f"bias_{q}"], [f"score_{q}"]),
            helper.make_node("LogSoftmax", [f"score_{q}"], [f"log_p_{q}"], axis=1),
        ]
        outputs.append(helper.make_tensor_value_info(f"log_p_{q}", TensorProto.FLOAT, ["N", len(bias_C)]))
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", len(model.active_A)])
    graph = helper.make_graph(nodes, "linear specialist", [rows], outputs, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(made)
    onnx.save(made, path)


def _rows(stored: StoredSpecialist) -> Callable[[Sequence[str]], list[list[int]]]:
    """From pruned prompts to token ids, as the specialist reads them."""
    most = stored.settings.max_tokens
    if stored.card.kind == "states":
        states = load_states(stored).model
        return lambda texts: states.rows(texts, most)
    base = LanguageModel(base_folder(stored), "cpu", "fp32")
    return lambda texts: base.prompt_ids(texts, most)


def _write_graph(stored: StoredSpecialist, path: Path) -> Any:
    """Writes the graph of a language model or encoder with its heads; its tokenizer."""
    import onnxscript  # noqa: F401 - torch's exporter is written in it

    torch = torch_module()
    states, tokenizer = _states_of_ids(stored)
    if stored.card.kind == "head":
        heads = read_heads(stored.folder, "cpu")
    else:
        with np.load(stored.folder / HEADS_FILE, allow_pickle=False) as arrays:
            parts = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        heads = [(parts[f"weight_{i}"], parts[f"bias_{i}"]) for i in range(len(parts) // 2)]

    class Graph(torch.nn.Module):  # type: ignore[misc, name-defined]
        """States of a text, then a head for each question."""

        def __init__(self) -> None:
            super().__init__()
            self.model = states[0]
            for q, (weight_CS, bias_C) in enumerate(heads):
                self.register_buffer(f"weight_{q}", weight_CS.float())
                self.register_buffer(f"bias_{q}", bias_C.float())

        def forward(self, ids: Any) -> Any:
            state_1S = states[1](self.model, ids)
            return tuple(
                torch.log_softmax(
                    state_1S @ getattr(self, f"weight_{q}").T + getattr(self, f"bias_{q}"), dim=-1
                )
                for q in range(len(heads))
            )

    with _quiet():
        made = torch.onnx.export(
            Graph().eval(),
            (torch.tensor([[1, 2, 3, 4, 5]]),),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={"ids": {1: torch.export.Dim("tokens", min=2, max=stored.settings.max_tokens)}},
            input_names=["ids"],
            output_names=[f"log_p_{q}" for q in range(len(heads))],
            verbose=False,
        )
        made.save(str(path))
    return tokenizer


def _states_of_ids(stored: StoredSpecialist) -> tuple[tuple[Any, Callable[[Any, Any], Any]], Any]:
    """((module, function from it and ids [1, T] to states [1, S]), tokenizer)."""
    torch = torch_module()
    if stored.card.kind == "head":
        tuned = merged_model(stored)
        tuned.lm.set_attn_implementation("eager")
        return (
            tuned.decoder,
            lambda model, ids: model(input_ids=ids, use_cache=False).last_hidden_state[:, -1],
        ), tuned.tokenizer
    own = stored.folder / ENCODER_FOLDER
    folder = own if own.is_dir() else base_folder(stored)
    if is_encoder(folder):
        encoder = TextEncoder(folder, "cpu")
        encoder.model.set_attn_implementation("eager")
        return (
            encoder.model,
            lambda model, ids: model(
                input_ids=ids, attention_mask=torch.ones_like(ids)
            ).last_hidden_state.mean(1),
        ), encoder.tokenizer
    base = LanguageModel(folder, "cpu", "fp32")
    base.lm.set_attn_implementation("eager")
    at = middle_layer(base)

    def pooled(model: Any, ids: Any) -> Any:
        layers = model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
        return torch.cat([layers[at].mean(1), layers[-1][:, -1]], dim=1)

    return (base.decoder, pooled), base.tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's words about packages that are not needed here."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
