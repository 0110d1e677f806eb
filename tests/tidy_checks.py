"""Checks of the source tree that no linter makes: lengths, names, references, dead code, missing tests, dependencies.

Each check takes the root of a checkout and returns its offenders, one sentence each; an empty list means that all is
well. The checks read files only: they ask neither git nor the installed package, so they can run over a planted tree.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def modules(root: Path) -> dict[str, Path]:
    """The modules of the package: path below src/deputize without suffix -> file."""
    package = root / "src" / "deputize"
    return {
        path.relative_to(package).with_suffix("").as_posix(): path for path in sorted(package.rglob("*.py"))
    }


def _stale(what: str, exceptions: Collection[str], needed: Collection[str]) -> list[str]:
    return [f"{name}: no longer needs its exception from {what}" for name in exceptions if name not in needed]


# --- lengths


def long_modules(root: Path, most: int, exceptions: Mapping[str, str]) -> list[str]:
    """Modules with more than `most` lines."""
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules(root).items()}
    over = {name: n for name, n in lengths.items() if n > most}
    found = [f"{name}: {n} lines, at most {most}" for name, n in over.items() if name not in exceptions]
    return found + _stale("the length of modules", exceptions, over)


def long_functions(root: Path, most: int, exceptions: Mapping[str, str]) -> list[str]:
    """Functions and methods with more than `most` lines, signature and docstring included, decorators not."""
    over = {}
    for name, path in modules(root).items():
        for function in ast.walk(_parsed(path)):
            if isinstance(function, Definition):
                n = (function.end_lineno or function.lineno) - function.lineno + 1
                if n > most:
                    over[f"{name}:{function.name}"] = n
    found = [f"{name}: {n} lines, at most {most}" for name, n in over.items() if name not in exceptions]
    return found + _stale("the length of functions", exceptions, over)


# --- names


def _twice(names: Iterable[tuple[str, str]], exceptions: Mapping[str, str], what: str) -> list[str]:
    places = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    twice = {name: at for name, at in places.items() if len(at) > 1}
    found = [f"{name}: {', '.join(at)}" for name, at in sorted(twice.items()) if name not in exceptions]
    return found + _stale(what, exceptions, twice)


def modules_twice(root: Path, exceptions: Mapping[str, str], folders: Collection[str] = ()) -> list[str]:
    """Names that two modules or packages have, those of modules in some `folders` aside."""
    named = []
    for name in modules(root):
        parts = name.split("/")
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if parts and "/".join(parts[:-1]) not in folders:
            named.append((parts[-1], "/".join(parts)))
    return _twice(named, exceptions, "modules named once")


def classes_twice(root: Path, exceptions: Mapping[str, str]) -> list[str]:
    """Names that two classes have, wherever in a module they stand."""
    named = [
        (node.name, name)
        for name, path in modules(root).items()
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.ClassDef)
    ]
    return _twice(named, exceptions, "classes named once")


# --- references

_PATH = re.compile(r"(?<![\w/.:<>*{}-])((?:\.\./|\./)?[\w-]+(?:/[\w.-]+)*\.(?:md|py))(?![\w/*{}])")
_DOTTED = re.compile(r"(?<![\w./@-])(deputize(?:\.\w+)+)")
_SUFFIXES = "py|md|db|json|jsonl|toml|html"
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)


@cache
def _prose(path: Path) -> list[tuple[int, str]]:
    """Docstrings and comments of a Python file with their lines."""
    found = []
    for node in ast.walk(_parsed(path)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found.append((node.lineno, node.value.value))
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.COMMENT:
            found.append((token.start[0], token.string))
    return found


def _files(root: Path) -> set[str]:
    """Files below the root, those of environments, caches and builds left out."""
    found = set()
    for folder, below, names in os.walk(root):
        below[:] = [
            b
            for b in below
            if b not in ("build", "dist", "__pycache__") and (b[0] != "." or b in (".ci", ".github"))
        ]
        found |= {Path(folder, name).relative_to(root).as_posix() for name in names}
    return found


def _top_level(tree: ast.Module) -> dict[str, ast.stmt]:
    """Names that a module binds at its top level, by definition or assignment."""
    names: dict[str, ast.stmt] = {}
    body = list(tree.body)
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            body.extend(node.body)
            body.extend(node.orelse)
        if isinstance(node, Definition | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for leaf in ast.walk(target):
                    if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Store):
                        names[leaf.id] = node
    return names


def _imported(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def _resolves(dotted: str, known: Mapping[str, Path]) -> bool:
    """True for the dotted name of a module, or of a name at a module's top level; further attributes are not looked up."""
    parts = dotted.split(".")[1:]
    for n in range(len(parts), -1, -1):
        head = "/".join(parts[:n])
        for module in (head, f"{head}/__init__" if head else "__init__"):
            if module in known:
                tree = _parsed(known[module])
                return n == len(parts) or parts[n] in {*_top_level(tree), *_imported(tree)}
    return False


def dangling_references(
    root: Path, entry_points: Collection[str], exceptions: Mapping[str, str]
) -> list[str]:
    """Paths, links and module names in docstrings, comments and pages that lead to nothing.

    Args:
        entry_points: names of entry point groups, which look like modules.
        exceptions: files that are not looked at, and texts that are no reference; each with its reason.
    """
    files, known = _files(root), modules(root)
    suffixes = {"/".join(f.split("/")[i:]) for f in files for i in range(f.count("/") + 1)}
    tops = "|".join(sorted({name.split("/")[0] for name in known if name != "__init__"}))
    inside = re.compile(rf"(?<![\w./@\[\]-])((?:{tops})(?!\.(?:{_SUFFIXES})\b)(?:\.[A-Za-z_]\w*)+)")
    found, needed = [], set()

    def look(place: str, text: str) -> None:
        wrong = [p for p in _PATH.findall(text) if re.sub(r"^(\.\.?/)+", "", p) not in suffixes]
        wrong += [d for d in inside.findall(text) if not _resolves(f"deputize.{d}", known)]
        wrong += [
            d for d in _DOTTED.findall(text) if d not in entry_points and not _resolves(d.rstrip("."), known)
        ]
        for reference in dict.fromkeys(wrong):
            if reference in exceptions:
                needed.add(reference)
            else:
                found.append(f"{place}: {reference}")

    for file in sorted(files):
        if file in exceptions:
            needed.add(file)
        elif file.endswith(".py") and file.split("/")[0] in ("src", "tests", "benchmarks"):
            for line, text in _prose(root / file):
                look(f"{file}:{line}", text)
        elif file.endswith(".md"):
            text = (root / file).read_text("utf-8")
            look(file, _LINK.sub("", _FENCE.sub("", text)))
            for link in _LINK.findall(text):
                target = link.split("#")[0]
                outside = not target or "://" in target or target.startswith("mailto:")
                if not outside and not (root / file).parent.joinpath(target).exists():
                    found.append(f"{file}: link to {target}")
    return found + _stale("references", exceptions, needed)


# --- names that nobody reads


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            yield node.value


def _identifiers(node: ast.AST) -> Iterator[str]:
    """Names that are read below a node, those in quoted annotations included."""
    for leaf in ast.walk(node):
        if isinstance(leaf, ast.Name) and isinstance(leaf.ctx, ast.Load):
            yield leaf.id
        elif isinstance(leaf, ast.Constant) and isinstance(leaf.value, str) and leaf.value.isidentifier():
            yield leaf.value


def _module_of(node: ast.ImportFrom, importer: str) -> str:
    if node.level:
        parts = importer.split("/")[: -node.level]
        return "/".join([*parts, *(node.module or "").split(".")]).strip("/")
    return "/".join((node.module or "").split(".")[1:])


def unread_names(root: Path, public: Collection[str], exceptions: Mapping[str, str]) -> list[str]:
    """Top-level names of the package that no code of the package reads.

    A name is read where its module uses it outside its own definition, where another module imports it or takes it as
    an attribute of its module, where a string names it ("module:name", as registries and entry points do), and where a
    decorator registers it (a command of click). What a package's `__init__` passes on is read only if somebody imports
    it from there, or if the package is public.

    Args:
        public: modules whose every public name is part of the public interface.
    """
    known = modules(root)
    imported: set[tuple[str, str]] = set()  # (module, name)
    passed_on: dict[tuple[str, str], tuple[str, str]] = {}
    attributes: set[str] = set()
    named = set(re.findall(r"\w+", (root / "pyproject.toml").read_text("utf-8")))
    for name, path in known.items():
        tree = _parsed(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                source = _module_of(node, name)
                for alias in node.names:
                    if name.endswith("__init__") and node in tree.body:
                        passed_on[(name, alias.asname or alias.name)] = (source, alias.name)
                    else:
                        imported.add((source, alias.name))
            elif isinstance(node, ast.Attribute):
                attributes.add(node.attr)
        for text in _strings(tree):
            if re.fullmatch(r"[\w.]+:\w+", text):
                named.add(text.split(":")[1])
            elif text.isidentifier() and name.endswith("/registry"):
                named.add(text)
    for (name, given), origin in passed_on.items():
        package = name.removesuffix("/__init__").removesuffix("__init__")
        if name in public or (package, given) in imported or given in attributes:
            imported.add(origin)
    found, needed = [], set()
    for name, path in known.items():
        if name in public:
            continue
        tree = _parsed(path)
        package = name.removesuffix("/__init__").removesuffix("__init__")
        statements = [(n, set(_identifiers(n))) for n in tree.body]
        for top, node in _top_level(tree).items():
            if top.startswith("__") or top in named or top in attributes:
                continue
            if (name, top) in imported or (package, top) in imported:
                continue
            if isinstance(node, Definition | ast.ClassDef) and any(
                isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) for d in node.decorator_list
            ):
                continue
            if any(top in names for n, names in statements if n is not node):
                continue
            if f"{name}:{top}" in exceptions:
                needed.add(f"{name}:{top}")
            else:
                found.append(f"{name}: {top}")
    return found + _stale("names that are read", exceptions, needed)


# --- words


def retired_words(
    root: Path, words: Collection[str], patterns: Collection[str], exceptions: Mapping[str, str]
) -> list[str]:
    """Lines of code and pages with a word that was given up for a term of the field, alone or as a part of a name.

    Args:
        root: of the repository.
        words: the words, in lower case.
        patterns: regular expressions for words that also have an ordinary meaning.
        exceptions: files that may have them; each with its reason.
    """
    any_case, capitalised = (
        "|".join(map(re.escape, words)),
        "|".join(re.escape(w.capitalize()) for w in words),
    )
    pattern = re.compile(
        "|".join(
            [rf"(?<![A-Za-z])(?i:{any_case})(?![a-z])", rf"(?:{capitalised})(?![a-z])"]
            + [f"(?:{one})" for one in patterns]
        )
    )
    found, needed = [], set()
    for path in _written(root):
        name = path.relative_to(root).as_posix()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            for match in pattern.finditer(line):
                if name in exceptions:
                    needed.add(name)
                else:
                    found.append(f"{name}:{number}: {match.group()}")
    return found + _stale("words", exceptions, needed)


def _written(root: Path) -> list[Path]:
    """Code, templates, tables and pages."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    for folder in ("src", "tests", "benchmarks"):
        for kind in ("py", "j2", "toml"):
            found += (root / folder).rglob(f"*.{kind}")
    return sorted(found)


def indirect_docstrings(root: Path) -> list[str]:
    """Docstrings that begin with a question word instead of a noun or a verb."""
    return [
        f"{name}:{node.lineno}: {text.splitlines()[0]}"
        for name, path in modules(root).items()
        for node in ast.walk(_parsed(path))
        if isinstance(node, Definition | ast.ClassDef)
        if re.match(r"(What|Whether)\b", text := ast.get_docstring(node) or "")
    ]


# --- tests


def private_imports(root: Path) -> list[str]:
    """Private names of the package that tests import."""
    return [
        f"{path.relative_to(root).as_posix()}:{node.lineno}: {node.module}.{alias.name}"
        for path in sorted((root / "tests").rglob("*.py"))
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "deputize"
        for alias in node.names
        if re.match(r"_[^_]", alias.name)
    ]


def untested_modules(root: Path, exceptions: Mapping[str, str]) -> list[str]:
    """Modules without a test file of their name at their place in tests/unit; that of a package is in or next to its
    folder."""
    missing = {}
    for name, path in modules(root).items():
        folder, _, stem = name.rpartition("/")
        if stem == "__init__" and not any(
            isinstance(n, Definition | ast.ClassDef) for n in _parsed(path).body
        ):
            continue
        if stem == "__init__":
            inside, (folder, _, stem) = folder, folder.rpartition("/")
        else:
            inside = folder
        test = Path("tests", "unit", inside, f"test_{stem}.py")
        if not ((root / test).exists() or (root / "tests" / "unit" / folder / test.name).exists()):
            missing[name] = test
    found = [f"{name}: no {test.as_posix()}" for name, test in missing.items() if name not in exceptions]
    return found + _stale("having a test file", exceptions, missing)


# --- formatting


def unformatted(root: Path, exceptions: Mapping[str, str]) -> list[str]:
    """Files with `# fmt: skip` or `# fmt: off`."""
    with_skips = [
        path.relative_to(root).as_posix()
        for folder in ("src", "tests", "benchmarks")
        for path in sorted((root / folder).rglob("*.py"))
        if any(re.match(r"#\s*fmt:\s*(skip|off)", text) for _, text in _prose(path))
    ]
    found = [f"{name}: formatted by hand" for name in with_skips if name not in exceptions]
    return found + _stale("the formatter", exceptions, with_skips)


# --- packaging


def wide_prose(root: Path, most: int) -> list[str]:
    """Lines of Markdown that are too long to read in an editor; tables, code, generated pages and what has no blank
    stay as they are."""
    found = []
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    for path in sorted(page for page in pages if page.parent.name != "reference"):
        is_code = False
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            is_code ^= line.lstrip().startswith("```")
            is_prose = not is_code and not line.lstrip().startswith(("|", "#", "    ", "```", "!["))
            if is_prose and len(line) > most and " " in line.strip()[: most - 20]:
                found.append(f"{path.relative_to(root)}:{number}: {len(line)} characters, at most {most}")
    return found


def unpacked_data(root: Path) -> list[str]:
    """Files of the package that a wheel would leave out, and relative links in the page for package indexes."""
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["deputize"]
    package = root / "src" / "deputize"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    found = [
        f"{path.relative_to(root).as_posix()}: no pattern of package-data takes it"
        for path in sorted(package.rglob("*"))
        if path.is_file() and path.suffix not in (".py", ".pyc") and path not in packed
    ]
    page = settings["project"]["readme"]
    for target in _LINK.findall((root / page).read_text("utf-8")):
        if "://" not in target:
            found.append(f"{page}: the relative link {target} leads nowhere on a package index")
    return found


def pages_outside_navigation(root: Path, exceptions: Mapping[str, str]) -> list[str]:
    """Pages below docs/ that the navigation of the site (mkdocs.yml) does not lead to: a strict build fails on them."""
    navigation = (root / "mkdocs.yml").read_text("utf-8").split("\nnav:")[1]
    listed = set(re.findall(r"[\w./-]+\.md\b", navigation))
    pages = [path.relative_to(root / "docs").as_posix() for path in sorted((root / "docs").rglob("*.md"))]
    missing = [page for page in pages if page not in listed]
    found = [
        f"docs/{page}: not in the navigation of mkdocs.yml" for page in missing if page not in exceptions
    ]
    return found + _stale("the navigation", exceptions, missing)


# --- dependencies


def _distribution(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def wrong_dependencies(
    root: Path,
    import_names: Mapping[str, str],
    users: Mapping[str, Collection[str]],
    exceptions: Mapping[str, str],
) -> list[str]:
    """Third-party imports that pyproject.toml does not declare, and declared distributions that nothing imports.

    Args:
        import_names: distribution -> the module it is imported by, where the two differ.
        users: extra -> folders or modules of the package that may import what the extra brings.
        exceptions: imports that need no declaration, each with its reason.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    declared: dict[str, set[str]] = defaultdict(set)  # module -> extras; "" is the base
    extras = {"": project["dependencies"], **project.get("optional-dependencies", {})}
    for extra, requirements in extras.items():
        for requirement in requirements if extra not in ("all", "dev", "docs") else []:
            distribution = _distribution(requirement)
            declared[import_names.get(distribution, distribution.replace("-", "_"))].add(extra)
    used, needed, found = set(), set(), []
    for name, path in modules(root).items():
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = {(node.module or "").split(".")[0]}
            else:
                continue
            for top in tops - set(sys.stdlib_module_names) - {"deputize"}:
                used.add(top)
                if top in exceptions:
                    needed.add(top)
                elif top not in declared:
                    found.append(f"{name}:{node.lineno}: imports {top}, which is not declared")
                elif "" not in declared[top] and not any(
                    f"{name}/".startswith(f"{folder}/")
                    for extra in declared[top]
                    for folder in users.get(extra, ())
                ):
                    found.append(
                        f"{name}:{node.lineno}: imports {top}, which only {sorted(declared[top])} bring"
                    )
    found += [
        f"pyproject.toml: {top} is declared and imported by nothing" for top in declared if top not in used
    ]
    return found + _stale("dependencies", exceptions, needed)
