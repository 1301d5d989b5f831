"""Packages whose version rounding depends on, each named by whoever brings it in."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES: dict[str, str] = {}  # by the module whose import says that one is in use


def rounding_depends_on(module: str, package: str = "") -> None:
    """Have the version of `module` recorded in runs that import it; `package`: if that has another name."""
    PACKAGES[module] = package or module


def versions() -> dict[str, str]:
    """Of the packages in use; one that is installed under another name is left out."""
    found = {}
    for module, package in PACKAGES.items():
        if module in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found
