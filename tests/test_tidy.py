"""The source tree keeps to its rules, and each rule is noticed when it is broken.

Why these limits: 500 lines a module and 60 a function are what a reader takes in at one sitting. Of four well-kept
Python projects measured (starlette, procrastinate, datatrove, nanochat) the median module has 20 to 262 lines; one
module in eight is longer than 400, and the longest of starlette has 748. Of their functions 2 to 8 in a hundred are
longer than 50 lines. A limit somewhat below their extremes leaves room for a protocol or a table, and stops a file
from gathering a second purpose unnoticed. What is over a limit for a reason stands below with that reason, and an
exception that is no longer needed fails too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from tests import tidy_checks as check

ROOT = Path(__file__).resolve().parents[1]

MAX_MODULE_LINES, MAX_FUNCTION_LINES = 500, 60

LONG_MODULES: dict[str, str] = {
    "store/recording/journal": "one file format: what writes a segment and what reads it back after a crash belong together",
}
LONG_FUNCTIONS: dict[str, str] = {}

MODULE_NAMES = {
    "run": "the entry of each stage",
    "base": "the protocol of each family of exchangeable parts",
    "registry": "the members of each such family",
}
NAMED_AFTER_COMMANDS = ["cli"]
"""Folders whose modules have the names of commands, and so those of the folders that do their work."""
CLASS_NAMES: dict[str, str] = {}

ENTRY_POINTS = [
    f"deputize.{family}"
    for family in ("importers", "detectors", "methods", "stores", "engines", "key_providers")
]
REFERENCES = {
    "docs/log.md": "a diary: it names files as they were called on the day",
    "dataset-card.md": "a file that curate writes into the folder of a run",
}

PUBLIC_MODULES = ["__init__", "testing/__init__", "listen/__init__", "privacy/presidio_recognizer"]
UNREAD_NAMES = {
    "scoring/certificates:draw_units": "one call of each group: what simulations compare draw_calls with",
    **dict.fromkeys(
        (
            "privacy/tagger/default/train_default:train_default",
            "privacy/tagger/default/train_encoder:train_encoder",
        ),
        "the training of the tagger that ships: benchmarks start it",
    ),
    **dict.fromkeys(
        ("scoring/monitor:false_rollback_bound",),
        "statistics that evaluate and the rollback loop do not call yet; strike each line when they do",
    ),
}

RETIRED_WORDS = [
    *(
        "rung",
        "rungs",
        "ladder",
        "lesson",
        "lessons",
        "learnt",
        "taught",
        "sureness",
        "undisguise",
        "undisguised",
    ),
    *("crew", "consultant", "consulted", "dearer", "skip_hard", "most_pull", "stand-in", "stand-ins"),
    *("anew", "laxer", "laxest", "yardstick"),
]
RETIRED_PATTERNS = [
    r'(?<![\w/.\["-])dev(?![\w/\]."-])|\bn?_?dev_(?:rows|split|set|calls|texts|examples)\b',  # validation, not /dev/null
    r"\w*_beside\b|\bbeside_\w+|\b_?BESIDE\b",  # in names; as a word it is ordinary
    r"\b(?:linear|decoder|head|pointer) reader",  # predictor
    r"\b[Dd]ata sets?\b|\b[Rr]oll-back",  # dataset, rollback
    r"\bcanar(?:y|ies)_?(?: secrets?|secrets?)\b",  # planted secret; a canary is a route
    r'"""S[1-6] ',  # the name of the stage
]
"""Words that also have an ordinary meaning, where they stand for something else."""
WORDS = {
    "src/deputize/privacy/detectors/rules/people_and_places.py": "jobs, as they stand before names",
    "docs/log.md": "a diary: it has the words of the day",
    "tests/test_tidy.py": "the list itself",
    **dict.fromkeys(
        ("tests/unit/web/test_page.py", "tests/unit/web/test_summary.py"), "words that no report may have"
    ),
}

UNTESTED_MODULES: dict[str, str] = {}

TABLES = {
    **{
        f"src/deputize/privacy/detectors/rules/{name}.py": "tables of patterns, one a line"
        for name in (
            "addresses_by_language",
            "formatted_ids",
            "health",
            "keys_and_passwords",
            "named_fields",
            "names_by_language",
            "people_and_places",
            "phones",
            "record_numbers",
            "rule",
            "world_numbers",
        )
    },
    **{
        f"src/deputize/privacy/{name}.py": "lists of words, which one word a line would make unreadable"
        for name in ("detectors/gazetteer", "detectors/presidio", "detectors/spacy_ner", "replace/surrogates")
    },
    "src/deputize/stages/collect/importers/field_names.py": "names in use for one thing, which belong in one row",
    "tests/contracts/importer_samples.py": "samples, one on a screen, that the formatter would spread over pages",
    "src/deputize/stages/collect/importers/wrapped_records.py": "names of wrappers, which belong on one screen",
    "src/deputize/privacy/national_ids.py": "one row for each state",
    "src/deputize/privacy/scripts.py": "one row for each script",
    **{
        f"tests/unit/privacy/{name}.py": "samples, which belong in one row each"
        for name in (
            "detectors/rules/test_addresses_by_language",
            "test_national_ids",
            "test_spelled_numbers",
        )
    },
    "src/deputize/privacy/entity_types.py": "groups of types, which belong on one screen",
}

IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "opentelemetry-proto": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "protobuf": "google",
    "openai-agents": "agents",
}
EXTRA_USERS = {
    "privacy": ["privacy", "stages/curate", "runner/local"],
    "tasks": ["stages/cluster"],
    "train": ["specialists", "privacy", "stages", "pipeline"],
    "qlora": ["specialists/language_model"],
    "onnx": ["specialists/export_forms/onnx_graph"],
    "llamacpp": ["specialists/writing/llama_cpp_engine"],
    "mcp": ["operations/mcp_server"],
    "secrets": ["privacy/detectors/credsweeper"],
    "otel": ["stages/collect/containers/otlp_protobuf", "gateway/span_exporter"],
    "vault": ["store/keys/kms"],
    "kms": ["store/keys/kms"],
    "gliner": ["privacy/detectors/gliner"],
    "export": ["stages/curate/export", "stages/collect/containers/tabular"],
    "parquet": ["stages/curate/export", "stages/collect/containers/tabular"],
    "cloud": ["stages/collect/containers/log_files", "store/published/buckets"],
    "designer": ["stages/curate/designer_worker"],
    "demo": ["demo"],
    "postgres": ["store/postgres_connection"],
    "ray": ["runner/ray_cluster"],
    "langchain": ["listen/langchain_hook"],
    "agents": ["listen/agents_hook"],
}
UNDECLARED: dict[str, str] = {}

PAGES_ELSEWHERE = {"pypi.md": "the page for package indexes"}

CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "modules are short": lambda root: check.long_modules(root, MAX_MODULE_LINES, LONG_MODULES),
    "functions are short": lambda root: check.long_functions(root, MAX_FUNCTION_LINES, LONG_FUNCTIONS),
    "no module name stands twice": lambda root: check.modules_twice(root, MODULE_NAMES, NAMED_AFTER_COMMANDS),
    "no class name stands twice": lambda root: check.classes_twice(root, CLASS_NAMES),
    "references lead somewhere": lambda root: check.dangling_references(root, ENTRY_POINTS, REFERENCES),
    "top-level names are read": lambda root: check.unread_names(root, PUBLIC_MODULES, UNREAD_NAMES),
    "words are those of the field": lambda root: check.retired_words(
        root, RETIRED_WORDS, RETIRED_PATTERNS, WORDS
    ),
    "docstrings say it directly": check.indirect_docstrings,
    "tests use public names": check.private_imports,
    "modules have a test file": lambda root: check.untested_modules(root, UNTESTED_MODULES),
    "the formatter formats": lambda root: check.unformatted(root, TABLES),
    "pages can be read in an editor": lambda root: check.wide_prose(root, 120),
    "the package is whole": check.unpacked_data,
    "pages are in the navigation": lambda root: check.pages_outside_navigation(root, PAGES_ELSEWHERE),
    "dependencies are declared": lambda root: check.wrong_dependencies(
        root, IMPORT_NAMES, EXTRA_USERS, UNDECLARED
    ),
}


@pytest.mark.parametrize("rule", CHECKS)
def test_the_tree_is_tidy(rule: str) -> None:
    offenders = CHECKS[rule](ROOT)
    assert not offenders, "\n".join(offenders)


# --- each rule, broken on purpose

PYPROJECT = """
[project]
name = "deputize"
readme = "docs/pypi.md"
dependencies = ["numpy>=2"]
[project.optional-dependencies]
train = ["scikit-learn>=1"]
[project.scripts]
deputize = "deputize.cli:main"
[tool.setuptools.package-data]
deputize = ["py.typed", "**/*.sql"]
"""
CLEAN = {
    "pyproject.toml": PYPROJECT,
    "README.md": "See [the page](docs/page.md), src/deputize/cli.py and deputize.core.records.Call.\n",
    "docs/page.md": "# A page\n",
    "mkdocs.yml": "site_name: deputize\nnav:\n  - Page: page.md\n  - Index: pypi.md\n",
    "docs/pypi.md": "An [address](https://example.org).\n",
    "src/deputize/py.typed": "",
    "src/deputize/core/tables.sql": "",
    "src/deputize/__init__.py": "",
    "src/deputize/cli.py": '''
        """The command, as in docs/page.md."""

        import numpy

        from deputize.core import records


        def main() -> records.Call:
            return records.Call(numpy.zeros(1))
        ''',
    "src/deputize/core/__init__.py": "",
    "src/deputize/core/records.py": "class Call:\n    pass\n",
    "src/deputize/learn.py": "from sklearn import svm\n\n\ndef fit() -> None:\n    svm.SVC()\n",
    "src/deputize/commands/learn.py": "",
    "src/deputize/stages/run.py": "from deputize.learn import fit\n\n\nfit()\n",
    "src/deputize/other/run.py": "",
    "tests/unit/test_cli.py": "",
    "tests/unit/commands/test_learn.py": "",
    "tests/unit/test_learn.py": "",
    "tests/unit/core/test_records.py": "",
    "tests/unit/stages/test_run.py": "",
    "tests/unit/other/test_run.py": "",
}


def planted(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), "utf-8")
    return root


SMALL: dict[str, Callable[[Path], list[str]]] = {
    "long module": lambda root: check.long_modules(root, 12, {}),
    "long function": lambda root: check.long_functions(root, 3, {}),
    "module twice": lambda root: check.modules_twice(root, {"run": "a stage"}, ["commands"]),
    "class twice": lambda root: check.classes_twice(root, {}),
    "references": lambda root: check.dangling_references(root, ["deputize.detectors"], {}),
    "unread": lambda root: check.unread_names(root, ["__init__"], {}),
    "words": lambda root: check.retired_words(root, ["rung"], [r"\bdev\b(?!/)"], {}),
    "docstrings": check.indirect_docstrings,
    "private": check.private_imports,
    "untested": lambda root: check.untested_modules(root, {}),
    "unformatted": lambda root: check.unformatted(root, {}),
    "wide": lambda root: check.wide_prose(root, 120),
    "package": check.unpacked_data,
    "navigation": lambda root: check.pages_outside_navigation(root, {}),
    "dependencies": lambda root: check.wrong_dependencies(root, IMPORT_NAMES, {"train": ["learn"]}, {}),
}


@pytest.mark.parametrize("rule", SMALL)
def test_a_clean_tree_has_no_offender(rule: str, tmp_path: Path) -> None:
    assert SMALL[rule](planted(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(
    ("rule", "file", "text", "offender"),
    [
        (
            "long module",
            "src/deputize/core/records.py",
            "class Call:\n    pass\n" + "x = 1\n" * 11,
            "records: 13",
        ),
        (
            "long function",
            "src/deputize/core/a.py",
            "def f():\n    # one\n    # two\n    pass\n",
            "core/a:f: 4",
        ),
        (
            "long function",
            "src/deputize/core/a.py",
            "class A:\n    async def f(a,\n    b,\n    c):\n     pass",
            "f: 4",
        ),
        ("module twice", "src/deputize/core/learn.py", "", "learn: core/learn, learn"),
        ("module twice", "src/deputize/learn/core.py", "", "core: core, learn/core"),
        ("class twice", "src/deputize/core/b.py", "class Call:\n    pass\n", "Call: core/b, core/records"),
        (
            "class twice",
            "src/deputize/core/b.py",
            "def f():\n    class Call:\n        pass\n",
            "Call: core/b, core/rec",
        ),
        ("references", "src/deputize/core/a.py", '"""See docs/none.md."""', "a.py:1: docs/none.md"),
        ("references", "src/deputize/core/a.py", "# as in core/none.py", "a.py:1: core/none.py"),
        ("references", "src/deputize/core/a.py", '"""deputize.core.none does it."""', "deputize.core.none"),
        ("references", "src/deputize/core/a.py", "# deputize.core.records.Nobody", "records.Nobody"),
        ("references", "src/deputize/core/a.py", "# see core.none.f", "a.py:1: core.none.f"),
        ("references", "docs/page.md", "Read [this](none.md).", "link to none.md"),
        ("references", "docs/page.md", "It is in `core/none.py`.", "docs/page.md: core/none.py"),
        ("unread", "src/deputize/core/a.py", "def alone():\n    return alone()\n", "core/a: alone"),
        ("unread", "src/deputize/core/a.py", "WORD = 1\n", "core/a: WORD"),
        ("unread", "src/deputize/core/__init__.py", "from deputize.learn import odd\n", "learn: odd"),
        ("words", "src/deputize/core/records.py", "class TopRung:\n    pass\n", "core/records.py:1: Rung"),
        (
            "words",
            "src/deputize/core/records.py",
            "class Call:\n    a_rung = 1  # steps\n",
            "core/records.py:2: rung",
        ),
        ("words", "docs/page.md", "# A page\n\nEach rung.\n", "docs/page.md:3: rung"),
        ("words", "tests/unit/test_learn.py", "# to /dev/null\n# from dev\n", "test_learn.py:2: dev"),
        ("words", "benchmarks/a.py", "a_rung = 1\n", "benchmarks/a.py:1: rung"),
        (
            "docstrings",
            "src/deputize/core/records.py",
            'class Call:\n    """What is said."""\n',
            "What is said.",
        ),
        ("private", "tests/unit/test_cli.py", "from deputize.cli import _main\n", "deputize.cli._main"),
        ("untested", "src/deputize/core/a.py", "", "core/a: no tests/unit/core/test_a.py"),
        (
            "untested",
            "src/deputize/core/__init__.py",
            "def f():\n    pass\n",
            "no tests/unit/core/test_core.py",
        ),
        ("unformatted", "src/deputize/core/a.py", "x = [1,  2]  # fmt: skip\n", "core/a.py"),
        ("unformatted", "tests/unit/test_learn.py", "# fmt: off\nx = 1\n", "test_learn.py"),
        (
            "wide",
            "docs/page.md",
            f"# A page\n\n| {'a ' * 70} |\n\n```\n{'b ' * 70}\n```\n{'c ' * 61}\n",
            "docs/page.md:8",
        ),
        ("package", "src/deputize/core/page.j2", "", "core/page.j2: no pattern"),
        ("package", "docs/pypi.md", "[here](page.md)", "the relative link page.md"),
        ("navigation", "docs/guides/new.md", "# New\n", "docs/guides/new.md: not in the navigation"),
        ("dependencies", "src/deputize/core/a.py", "def f():\n    import scipy.stats\n", "imports scipy"),
        ("dependencies", "src/deputize/core/a.py", "import sklearn\n", "which only ['train'] bring"),
        (
            "dependencies",
            "pyproject.toml",
            PYPROJECT.replace('"numpy', '"starlette", "numpy'),
            "starlette is decl",
        ),
    ],
)
def test_a_planted_offender_is_named(rule: str, file: str, text: str, offender: str, tmp_path: Path) -> None:
    files = {**CLEAN, file: text}
    if offender == "learn: odd":
        files["src/deputize/learn.py"] += "\n\ndef odd() -> None:\n    fit()\n"
    found = SMALL[rule](planted(tmp_path, files))
    assert len(found) == 1 and offender in found[0]


def test_an_exception_that_nothing_needs_is_named(tmp_path: Path) -> None:
    root = planted(tmp_path, CLEAN)
    needless = {"core/records": "once too long"}
    for found in (
        check.long_modules(root, 500, needless),
        check.long_functions(root, 60, needless),
        check.modules_twice(root, {"run": "a stage", **needless}, ["commands"]),
        check.classes_twice(root, needless),
        check.dangling_references(root, [], needless),
        check.unread_names(root, ["__init__"], needless),
        check.retired_words(root, ["rung"], [], needless),
        check.untested_modules(root, needless),
        check.unformatted(root, needless),
        check.wrong_dependencies(root, IMPORT_NAMES, {"train": ["learn"]}, needless),
    ):
        assert len(found) == 1 and found[0].startswith("core/records: no longer needs")
