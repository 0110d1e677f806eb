"""Questions to a teacher's server: a real one, with the student's tokenizer and with another."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import teacher_servers, tiny_model

from deputize.core.config import TeacherSettings
from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.teacher_server import TeacherServer

TEXTS = ["the order LH-12345 has not arrived", "mail: user3@example.org, urgent", "where is my parcel"]


def test_it_lists_the_models_own_probabilities_by_the_students_tokens(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    settings = teacher_servers.serve(base, tmp_path, monkeypatch, n_listed=5)
    teacher = TeacherServer(settings, "teacher", base, tmp_path)
    teacher.check(TEXTS)
    prefixes = [base.ids(text) for text in TEXTS]
    found = teacher.next_tokens(prefixes)
    teacher.close()
    assert found and teacher.n_questions == 3 and not teacher.stopped
    for prefix, listed in zip(prefixes, found, strict=True):
        with torch.no_grad():
            log_p_V = base.lm(torch.tensor([prefix])).logits[0, -1].log_softmax(-1)
        top = torch.topk(log_p_V, 5)
        assert set(listed) == set(top.indices.tolist())
        assert [listed[i] for i in top.indices.tolist()] == pytest.approx(top.values.tolist(), abs=1e-3)


def test_another_tokenizer_is_refused(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LanguageModel(tiny_model.make(tmp_path / "other", vocabulary=300), "cpu", "fp32")
    settings = teacher_servers.serve(other, tmp_path, monkeypatch)
    teacher = TeacherServer(settings, "other", LanguageModel(tiny[0] / tiny[1], "cpu", "fp32"), tmp_path)
    with pytest.raises(BadInput, match="the teacher other cuts texts into other tokens than the student"):
        teacher.check(TEXTS)
    teacher.close()


def test_a_budget_that_is_spent_ends_the_questions(tiny: tuple[Path, str], tmp_path: Path) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    settings = TeacherSettings(base_url="http://127.0.0.1:9/v1", budget_usd=0.5)
    teacher = TeacherServer(settings, "teacher", base, tmp_path)
    teacher.usd = 0.5
    assert teacher.next_tokens([[1]]) is None
    assert teacher.stopped == "the budget of 0.5 US dollars is spent"
    teacher = TeacherServer(settings, "teacher", base, tmp_path)
    for _ in range(3):
        assert teacher.next_tokens([[1]]) is None
    assert teacher.stopped == "the server failed three times in a row"
