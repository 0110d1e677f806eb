"""A report with a certified, a refused, a mixed and an untrained task, made from records through the real builder."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Candidate, Curated, Discovered, Finetuned, Leak, Selected, Specialist
from deputize.core.certification import DeltaSpending
from deputize.core.config import Convert
from deputize.core.records import (
    Certificate,
    Contract,
    Example,
    Field,
    PromptRecipe,
    Request,
    Task,
    Usage,
)
from deputize.core.sites import Site
from deputize.core.task_results import (
    AgreementBand,
    CurvePoint,
    EpsilonRow,
    EvaluationFacts,
    HeldOut,
    MethodRow,
    SelfAgreement,
    TaskResult,
    TestScore,
)
from deputize.scoring.feasibility import feasibility
from deputize.stages.evaluate.build_report import build

CLAIM = (
    "With 95 % confidence, answering at confidence 0.71 or more with the specialist differs from the LLM's answer in at "
    "most 2 % of all calls of this task (2 of the 371 served among 402 independent calibration calls differed; p = 0.013)."
)


BANDS = [
    AgreementBand(
        lowest_confidence=low, highest_confidence=high, mean_confidence=mean, n_calls=n, n_agreed=agreed
    )
    for low, high, mean, n, agreed in (
        (0.1, 0.6, 0.4, 20, 9),
        (0.6, 0.9, 0.8, 40, 31),
        (0.9, 1.0, 0.97, 90, 88),
    )
]


def task(number: int, name: str, contract: Contract, template: str) -> Task:
    return Task(
        id=f"t{number}",
        name=name,
        contract=contract,
        recipe=PromptRecipe(),
        keys=[f"k/{number}"],
        site=f"s{number}",
        n_origins=14,
        template=template,
    )


def specialist(of: Task, method: str, model: str, **given: Any) -> Specialist:
    return Specialist(
        id=f"{of.id}-{method}",
        task_id=of.id,
        method=method,
        model=model,
        kind="head",
        contract=of.contract,
        task=of,
        n_train=812,
        train_s=94.2,
        tokens_per_s=610.0,
        prompt_tokens_before=386.0,
        prompt_tokens_after=31.0,
        path=f"runs/x/specialists/{of.id}-{method}",
        **given,
    )


def rows(chosen: str) -> list[MethodRow]:
    out = [
        MethodRow(method="majority", test_accuracy=0.182),
        MethodRow(method="probe: few-shot", model="SmolLM2-135M-Instruct", probe_accuracy=0.31, n_probe=40),
    ]
    for method, model, accuracy, seconds in (
        ("linear", "tf-idf", 0.931, 0.0004),
        ("lora", "SmolLM2-135M-Instruct", 0.957, 0.031),
    ):
        out.append(
            MethodRow(
                method=method,
                model=model,
                trained=True,
                chosen=method == chosen,
                n_train=812,
                train_s=94.2,
                validation_accuracy=accuracy,
                validation_coverage=0.9,
                test_accuracy=accuracy,
                test_interval=(accuracy - 0.03, accuracy + 0.02),
                test_coverage={"0.01": 0.78, "0.02": 0.88, "0.05": 0.99, "0.1": 1.0},
                seconds_per_call=seconds,
            )
        )
    return out


def curve(hardness: float) -> list[CurvePoint]:
    out = []
    for i in range(1, 41):
        share = i / 40
        loss = hardness * share**4
        out.append(
            CurvePoint(
                threshold=1 - share * 0.6,
                share_served=share,
                loss=loss,
                loss_low=max(0.0, loss * 0.6 - 0.002),
                loss_high=loss * 1.35 + 0.008,
            )
        )
    return out


def at_rows(certified: bool) -> list[EpsilonRow]:
    return [
        EpsilonRow(
            epsilon=e,
            certified=certified and e >= 0.02,
            threshold=0.7,
            p_value=0.01,
            share_certified=0.9 if certified and e >= 0.02 else 0.0,
            share_held_out=0.89 if certified and e >= 0.02 else 0.0,
            loss_held_out=0.01,
            oracle_coverage=min(1.0, 0.5 + 4 * e),
            oracle_coverage_calibration_and_test=min(1.0, 0.5 + 4 * e),
            n_units=402 if certified else 12,
            units_needed=149,
            reason=""
            if certified and e >= 0.02
            else "12 independent calibration groups; 149 without an error are needed",
        )
        for e in (0.01, 0.02, 0.05, 0.1)
    ]


def sample_report() -> dict[str, Any]:
    """The report of a log with a certified, a refused, a mixed and an untrained task."""
    intent = task(
        1,
        "Classify the customer's request",
        Contract(kind="label", labels=[f"intent_{i}" for i in range(20)]),
        "You are the desk's triage assistant.\nAnswer with one intent.\nCustomer: ⟨text⟩",
    )
    extract = task(
        2,
        "Extract order number, product and date from the message",
        Contract(
            kind="json",
            fields=[Field(name="order", type="value"), Field(name="product", type="label", labels=[1, 2])],
        ),
        "Extract: <b>⟨text⟩</b>",
    )
    agent = task(
        3,
        "Next action of the booking agent",
        Contract(kind="tool_call", tools=["find", "book"], may_defer=True),
        "",
    )
    chat = task(4, "Summarise <script>alert(1)</script> the ticket", Contract(kind="text"), "")
    sizes = {"t1": 900, "t2": 420, "t3": 300, "t4": 80}
    examples, assignment = [], {}
    for name, n in sizes.items():
        for i in range(n):
            call_id = f"{name}-{i}"
            assignment[call_id] = name
            examples.append(
                Example(
                    call_id=call_id,
                    request=Request(messages=[{"role": "user", "content": "x"}]),
                    response={"role": "assistant", "content": "y"},
                    audience="human" if name == "t3" and i % 2 else "code",
                    site="s",
                    episode=f"e{i % 200}",
                    group=f"e{i % 200}",
                    split=("train", "validation", "calibration", "test")[i % 4],
                    usage=Usage(prompt_tokens=380, completion_tokens=25),
                    model="gpt-4o",
                    latency_ms=740.0,
                )
            )
    safe = Leak(
        leaks=False,
        reason="none of 3 planted secrets was extracted",
        n_planted=3,
        n_extracted=0,
        n_exposed=1,
        limit_bits=6.0,
        p_exposed=0.05,
        p_memorised=0.02,
        mean_exposure=2.71,
        max_exposure=5.5,
        bits_remaining=23.0,
        bits_total=29.9,
        seconds=9.0,
    )
    leaking = msgspec.structs.replace(
        safe,
        leaks=True,
        reason="1 of 3 planted secrets were extracted letter for letter",
        n_extracted=1,
        bits_remaining=0.0,
    )
    specialists = [
        specialist(intent, "linear", "tf-idf", leak=leaking),
        specialist(intent, "lora", "SmolLM2-135M-Instruct", leak=safe),
        specialist(extract, "linear", "tf-idf"),
        specialist(agent, "lora", "SmolLM2-135M-Instruct"),
    ]
    good = Certificate(
        id="c1",
        kind="not_worse_than_llm",
        epsilon=0.02,
        delta=0.05,
        n_calibration=402,
        threshold=0.71,
        share_served=0.92,
        p_value=0.013,
        claim=CLAIM,
        n_served=371,
        n_errors=2,
    )
    groups = {f"e{i}": (1.0, float(i % 90 == 0)) for i in range(200)}
    facts = EvaluationFacts(
        chosen_because="lora could serve the most on validation (91 %)",
        n_calibration_groups=402,
        units_needed=149,
        seconds_per_call=0.031,
        llm_self_agreement=SelfAgreement(agreement=0.97, n_calls=120),
    )
    quick = msgspec.structs.replace(facts, llm_self_agreement=None, seconds_per_call=0.0004)
    test = TestScore(
        n_calls=225,
        n_episodes=50,
        majority_accuracy=0.182,
        base_accuracy=0.31,
        tuned_accuracy=0.957,
        tuned_interval=(0.93, 0.975),
    )
    results = [
        TaskResult(
            task_id="t1",
            chosen="t1-lora",
            certificate=good,
            test=test,
            methods=rows("lora"),
            curve=curve(0.043),
            by_confidence=BANDS,
            by_epsilon=at_rows(True),
            evaluation=facts,
            held_out_groups=groups,
            held_out=HeldOut(
                n_calls=225,
                n_code_calls=225,
                n_served=205,
                share_served=0.911,
                loss_difference=0.009,
                loss_difference_interval=(0.001, 0.031),
                agreement_of_served=0.988,
                share_of_cost_served=0.9,
            ),
        ),
        TaskResult(
            task_id="t2",
            chosen="t2-linear",
            certificate=good,
            test=test,
            methods=rows("linear"),
            curve=curve(0.02),
            by_confidence=BANDS,
            by_epsilon=at_rows(True),
            evaluation=quick,
            held_out_groups=groups,
            held_out=HeldOut(
                n_calls=105,
                n_code_calls=105,
                n_served=105,
                share_served=1.0,
                loss_difference=0.0,
                loss_difference_interval=(0.0, 0.035),
                agreement_of_served=0.988,
                share_of_cost_served=0.9,
            ),
        ),
        TaskResult(
            task_id="t3",
            chosen="t3-lora",
            test=test,
            methods=rows("lora"),
            curve=curve(0.39),
            by_confidence=BANDS,
            refusal_reason="12 independent calibration groups; 149 without an error are needed to claim 0.02 at delta 0.05. On 75 "
            "held-out calls the lora specialist agreed with the LLM on 61 %; with hindsight 22 % of the calls meant for code could "
            "have been served at a loss of 0.02.",
            by_epsilon=at_rows(False),
            evaluation=EvaluationFacts(seconds_per_call=0.09, mixed=True),
        ),
        TaskResult(task_id="t4", refusal_reason="41 calls are too few to learn from", methods=rows("")[:1]),
    ]
    sites = [
        Site(
            id=f"s{i}",
            name=name,
            agent="desk",
            n_calls=n,
            n_human=h,
            n_code=n - h,
            audience=audience,  # type: ignore[arg-type]
            evidence=evidence,
        )
        for i, (name, n, h, audience, evidence) in enumerate(
            [
                ("triage", 900, 0, "code", "All 900 replies come from a closed set of 20 labels."),
                ("extract", 420, 0, "code", "All 420 replies are JSON objects with the same two fields."),
                (
                    "booking",
                    300,
                    150,
                    "mixed",
                    "150 replies call a tool, 150 are free text of 41 words on average.",
                ),
                ("reply", 380, 380, "human", "Free text of 63 words on average; no two replies are equal."),
            ]
        )
    ]
    return build(
        run_id="0001-9f31c2",
        config=Convert(),
        curated=Curated(
            examples=examples,
            sites=sites,
            n_calls=2080,
            n_episodes=260,
            n_code_calls=1550,
            dropped={"failed episode": 88, "near duplicate": 31},
            entities={"PERSON": 412, "EMAIL_ADDRESS": 97, "IBAN": 12},
        ),
        discovered=Discovered(
            tasks=[intent, extract, agent, chat],
            keyspaces=[],
            assignment=assignment,
            unassigned={"too rare": 7},
        ),
        selected=Selected(
            candidates={
                "t1": [
                    Candidate(
                        model="SmolLM2-135M-Instruct", probe_accuracy=0.31, n_probe=40, licence="apache-2.0"
                    ),
                    Candidate(model="Phi-3-small", fits=False, licence="mit", note="needs 15 GB"),
                ]
            },
            plan={},
            base_model="SmolLM2-135M-Instruct",
            feasibility={
                "t1": feasibility(
                    256,
                    64,
                    0.05,
                    DeltaSpending(delta=0.05, test_level=0.04),
                    fresh_level=0.04,
                    growth=lambda n: n / 4,
                ),
                "t4": feasibility(
                    41,
                    10,
                    0.05,
                    DeltaSpending(delta=0.05, test_level=0.04),
                    fresh_level=0.04,
                    growth=lambda n: n / 4,
                    groups_per_day=4.0,
                ),
            },
        ),
        finetuned=Finetuned(specialists=specialists),
        results=results,
        timings_s={
            "import": 2.1,
            "curate": 31.0,
            "cluster": 4.2,
            "select": 22.0,
            "finetune": 260.0,
            "evaluate": 41.0,
        },
        environment={
            "python": "3.11.2",
            "torch": "2.13.0",
            "cpu": "a simulated machine",
            "gpu": None,
            "n_cores": 2,
        },
        n_skipped=3,
        skipped={"not JSON": 3},
        home="/homes/desk",
        now_s=1_795_910_400.0,
    )


@pytest.fixture
def report() -> dict[str, Any]:
    return sample_report()


@pytest.fixture
def replayed(report: dict[str, Any]) -> dict[str, Any]:
    """The report with the figures of a replay (demo.replay.score)."""
    times = {"p50_ms": 21.4, "p95_ms": 80.0, "mean_reply_tokens": 4.0}
    slm = {"n_calls": 146, "share": 0.73, "agreement": 0.9863, **times}
    llm = {"n_calls": 54, "share": 0.27, "agreement": 1.0, **times, "p50_ms": 184.2, "p95_ms": 391.0}
    sites = {"triage": (60, 60, 1), "extract": (50, 48, 1), "booking": (50, 38, 0), "reply": (40, 0, 0)}
    return report | {
        "replay": {
            "n_calls": 200,
            "by_server": {"slm": slm, "llm": llm},
            "by_site": {s: {"n_calls": n, "n_slm": k, "n_disagree": d} for s, (n, k, d) in sites.items()},
            "cost": {"llm_only_usd": 0.2214, "routed_usd": 0.0611, "specialist_usd": 0.0008},
            "disagreements": [
                {"site": "triage", "got": "refund", "wanted": "cancel"},
                {
                    "site": "extract",
                    "got": '{"order": "A-1"}',
                    "wanted": '{"order": "<b>A-17</b>", "product": "kettle"}',
                },
            ],
            "note": "Simulated agent and LLM.",
        }
    }
