"""The home of the tests of the dashboard."""

from tests.unit.dashboard.conftest import desk

__all__ = ["desk"]
