"""Errors: every one has its place in the tree, its codes and a sentence."""

from __future__ import annotations

import inspect

from deputize.core import errors
from deputize.core.errors import DeputizeError, MissingExtra, OverLimit


def all_errors() -> list[type[DeputizeError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, DeputizeError) and kind is not DeputizeError
    ]


def test_every_error_is_drawn_in_the_tree_with_its_codes() -> None:
    tree = errors.__doc__ or ""
    for kind in all_errors():
        (line,) = [line for line in tree.splitlines() if f" {kind.__name__} " in line]
        assert str(kind.http_status) in line
        assert f"exit {kind.exit_code}" in line or "exit" not in line
        parents = [base.__name__ for base in kind.__mro__]
        retry = any(
            "retry" in line for line in tree.splitlines() if any(f" {name} " in line for name in parents)
        )
        assert retry or not kind.retry


def test_codes_are_told_apart() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(set(codes)) == len(codes)


def test_a_missing_package_names_the_line_that_installs_it() -> None:
    assert str(MissingExtra.package("x", "demo")).endswith("pip install 'deputize[demo]'")


def test_a_limit_says_when_to_come_back() -> None:
    assert OverLimit("slow down", 2.5).retry_after_s == 2.5
