"""The contract of training methods notices what cannot be seen from outside: time and plans."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_tasks
from tests.a_users_method import MajorityMethod

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.testing import check_method


class Unplanned(MajorityMethod):
    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=False, reason="never")


class Nameless(MajorityMethod):
    name = ""


@pytest.mark.parametrize(("wrong", "promise"), [(Unplanned(), "is planned"), (Nameless(), "has a name")])
def test_a_wrong_method_is_named(wrong: MajorityMethod, promise: str, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 20)
    with pytest.raises(AssertionError, match=promise):
        check_method(wrong, curated, discovered, tmp_path, models_dir=tmp_path, base_model="")
