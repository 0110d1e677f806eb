"""Writes docs/reference/api.md from the public names:
`python -m deputize.cli.api_reference > docs/reference/api.md`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import msgspec

from deputize.core.errors import DeputizeError
from deputize.core.version import VERSION
from deputize.public_names import PLACES, public_name
from deputize.web.report_reference import field_docstrings

MODULES: dict[str, tuple[str, ...]] = {
    "deputize.scoring.certificates": (
        "certify",
        "SequenceTest",
        "units_needed",
        "every_threshold",
        "threshold_grid",
        "draw_calls",
        "binomial_tail",
        "exact_p",
        "betting_p",
        "fixed_sequence",
        "family_levels",
        "contradicted_p",
    ),
    "deputize.scoring.episode_bets": ("choose_bet", "certify_episodes"),
    "deputize.scoring.claim_words": ("claim", "refusal"),
    "deputize.scoring.intervals": (
        "wilson",
        "clopper_pearson",
        "proportion_interval",
        "difference_interval",
        "coverage_at",
        "curve",
    ),
    "deputize.testing": (
        "ScriptedUpstream",
        "in_thread",
        "running",
        "always",
        "calling",
        "failing",
        "ManualClock",
        "check_importer",
        "check_detector",
        "check_method",
        "check_store",
        "check_engine",
        "check_key_provider",
        "check_predictor",
    ),
    "deputize.stages.collect.importers.base": ("Importer", "ImportContext"),
    "deputize.privacy.detectors.base": ("Detector", "Span"),
    "deputize.stages.finetune.methods.base": ("Method", "TrainingJob", "TrainingContext", "Trained"),
    "deputize.store.base": ("Store", "Entry"),
    "deputize.specialists.serving.base": ("Engine",),
    "deputize.store.keys.base": ("KeyProvider",),
}
"""Public names that are not passed on by `deputize` itself, by their module."""

MEMBERS: dict[str, tuple[str, ...]] = {
    "Home": (
        *("store", "routes", "close", "keyring", "audit", "api_keys"),
        *("config_path", "routes_path", "runs_path", "models_path"),
    ),
    "SpecialistPredictor": ("load", "predict", "predict_early"),
}
"""Public members of classes that have others; of any other class all are public whose name does not begin with "_"."""

ABOUT: dict[str, str] = {
    "deputize.scoring.certificates": "Certificates by themselves: arrays in, verdicts out; no model, no file. Shape letters: N "
    "independent units, L thresholds. [What a certificate says](../concepts/certificates.md).",
    "deputize.scoring.episode_bets": "The test of a certificate on whole episodes, and how it is chosen on validation.",
    "deputize.scoring.claim_words": "A verdict in words.",
    "deputize.scoring.intervals": "Intervals of measured shares and losses that know which calls belong together.",
    "deputize.testing": "A simulated LLM to test agents against, and contract checks for parts of your own.",
    "deputize.stages.collect.importers.base": "[Importers](../guides/extend/importers.md) of log formats.",
    "deputize.privacy.detectors.base": "[Detectors](../guides/extend/detectors.md) of personal data.",
    "deputize.stages.finetune.methods.base": "[Training methods](../guides/extend/methods.md).",
    "deputize.store.base": "[Stores](../guides/extend/stores.md) of calls.",
    "deputize.specialists.serving.base": "[Engines](../guides/extend/engines.md) that answer for specialists.",
    "deputize.store.keys.base": "[Key providers](../guides/extend/key-providers.md).",
}

_HEAD = f"""# Python API

Written by `python -m deputize.cli.api_reference` from the code of version {VERSION}; a test compares the two. How to use it, in
code that runs: [deputize as a library](../guides/python.md).

## What is public, and stable

Public are the names on this page, the commands and their exit codes ([commands](cli.md)), the settings ([settings](settings.md)),
the fields of [report.json](report.md), the gateway's paths, headers and metrics ([gateway](gateway.md)), and the
groups of entry points ([adding parts](../guides/extend/importers.md)). Their version follows semantic versioning: from 1.0 on, what worked with
1.x works with every later 1.y. Before that a second number may change them, and the [change log](../../CHANGELOG.md) then says what to do; a
third number never does. Every other module and name may change at any time.

New fields of records and reports, new settings with a default, new optional arguments and new members of the families of parts are
no change of what is there. Stored data is not part of the Python API: [backup and upgrade](../guides/deploy.md#backup-and-upgrade).

`import deputize` imports none of what follows; each name is imported when it is first used. Everything is typed (`py.typed`).
"""


def markdown() -> str:
    """The page."""
    parts = [_HEAD, "## `deputize`\n"]
    errors: list[tuple[str, type[DeputizeError]]] = []
    for name in PLACES:
        found = public_name(name)
        if isinstance(found, type) and issubclass(found, DeputizeError):
            errors.append((name, found))
        else:
            parts.extend(_entry(name, found))
    parts.append(_errors(errors))
    for module, names in MODULES.items():
        parts.append(f"## `{module}`\n\n{ABOUT[module]}\n")
        for name in names:
            parts.extend(_entry(name, getattr(import_module(module), name)))
    return "\n".join(parts)


def documented(found: Any) -> str:
    """The docstring of a public object.

    Raises:
        LookupError: it has none of its own.
    """
    text = found.__dict__.get("__doc__") if isinstance(found, type) else found.__doc__
    if not text:
        raise LookupError(f"{found!r} has no docstring")
    return inspect.cleandoc(text)


def _entry(name: str, found: Any) -> Iterator[str]:
    if isinstance(found, type):
        yield f"### `{name}`\n\n{_prose(documented(found))}\n"
        yield from _members(found)
    else:
        yield f"### `{name}`\n\n{_signature(name, found)}\n\n{_prose(documented(found))}\n"


def _members(kind: type) -> Iterator[str]:
    """Fields, or the constructor, and the public methods that a class defines itself."""
    fields = field_docstrings(kind.__module__, kind.__name__)
    if kind.__name__ == "Report":
        yield "Fields: [report.json](report.md).\n"
    elif issubclass(kind, msgspec.Struct) or hasattr(kind, "__dataclass_fields__"):
        rows = [
            f"| `{field}` | `{_escaped(hint)}` | {_escaped(' '.join(fields.get(field, '').split()))} |"
            for field, hint in kind.__annotations__.items()
        ]
        yield "\n".join(["| field | type | meaning |", "|---|---|---|", *rows]) + "\n"
    elif "__init__" in kind.__dict__ and not getattr(kind, "_is_protocol", False):
        begin = kind.__dict__["__init__"]
        if kind.__name__ not in MEMBERS or begin.__doc__:
            yield _signature(kind.__name__, begin) + "\n"
        if begin.__doc__:
            yield _prose(inspect.cleandoc(begin.__doc__)) + "\n"
    members = MEMBERS.get(kind.__name__, tuple(kind.__dict__))
    texts = [_member(kind, n, m) for n, m in kind.__dict__.items() if n in members and n[0] != "_"]
    properties = [text for text in texts if text.startswith("- ")]
    if properties:
        yield "\n".join(properties) + "\n"
    yield from (text for text in texts if text and not text.startswith("- "))


def _member(kind: type, name: str, member: Any) -> str:
    """One method or property; "" for anything else, and for one without a docstring (such as a hook of a framework)."""
    made_by_class = isinstance(member, classmethod | staticmethod)
    function = member.__func__ if made_by_class else member
    target = getattr(function, "fget", None) or getattr(function, "func", None) or function
    if not inspect.isfunction(target) or not target.__doc__:
        return ""
    if target is not function:
        return f"- `{name}`: {' '.join(inspect.cleandoc(target.__doc__).split(chr(10) * 2)[0].split())}"
    shown = "Specialist" if kind.__name__ == "SpecialistPredictor" else kind.__name__
    head = f"#### `{shown}.{name}`\n\n{_signature(f'{shown if made_by_class else shown.lower()}.{name}', target)}"
    return f"{head}\n\n{_prose(inspect.cleandoc(target.__doc__))}\n"


def _signature(name: str, function: Any) -> str:
    """The call as a block of code, one argument a line where they are many; `self` and `cls` are left out."""
    shown, starred = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        hint = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        shown.append(f"{stars}{parameter.name}{hint}{_default(parameter)}")
    given = inspect.signature(function).return_annotation
    result = "" if given is inspect.Signature.empty or "__init__" in function.__qualname__ else f" -> {given}"
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) > 90:
        line = f"{name}(\n    " + ",\n    ".join(shown) + f",\n){result}"
    return f"```py\n{line}\n```"


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if value is parameter.empty:
        return ""
    equals = " = " if parameter.annotation is not parameter.empty else "="
    if callable(value):
        named = getattr(value, "__name__", "...")
        return f"{equals}{'...' if named == '<lambda>' else named}"
    text = repr(value)
    return f"{equals}{'{}' if text == 'mappingproxy({})' else '...' if '<' in text else text}"


_SECTION = re.compile(r"^(Args|Returns|Raises|References|Yields):$")


def _prose(text: str) -> str:
    """A docstring in Google style as Markdown: sections as headed lists, `code` and lists as they are."""
    out: list[str] = []
    section, indent = "", 4
    for line in text.splitlines():
        if found := _SECTION.match(line):
            section = found[1]
            out += ["", f"*{section}*", ""]
        elif not section:
            out.append(line)
        elif line and not line.startswith(" "):
            section = ""
            out += ["", line]
        elif line.startswith(" " * indent) and not line.startswith(" " * (indent + 1)):
            name, colon, rest = line.strip().partition(": ")
            as_item = colon and re.fullmatch(r"[\w*, ]+", name) and section != "Returns"
            out.append(f"- `{name}`: {rest}" if as_item else f"- {line.strip()}")
        else:
            out.append(f"  {line.strip()}" if line.strip() else "")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def _escaped(text: Any) -> str:
    return str(text).replace("|", "\\|")


def _errors(errors: list[tuple[str, type[DeputizeError]]]) -> str:
    rows = [
        f"| `{name}` | `{kind.__bases__[0].__name__}` | {kind.exit_code} | {kind.http_status} | {documented(kind)} |"
        for name, kind in errors
    ]
    head = "### Errors\n\n`str(error)` is a sentence for a person, without any text of a call. `exit_code` is that of the commands.\n"
    return "\n".join([head, "| error | is a | exit | HTTP | when |", "|---|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
