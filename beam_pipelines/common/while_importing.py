"""Context managers around the import of a module."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Finder(MetaPathFinder):
    """Finds a module as the other finders do, and runs its code inside a context manager."""

    def __init__(self, name: str, context: Callable[[], AbstractContextManager[None]]) -> None:
        self.key = (name, context)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name, context = self.key
        if fullname != name:
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_inside(module: ModuleType) -> None:
            with context():
                execute(module)

        spec.loader.exec_module = execute_inside  # type: ignore[method-assign]
        return spec


def while_importing(name: str, context: Callable[[], AbstractContextManager[None]]) -> None:
    """Runs the code of a module, when it is imported, inside a context manager. The same call again has no effect.

    Args:
        name: The name of the module, which is not imported yet.
        context: Makes the context manager.
    """
    if not any(isinstance(finder, _Finder) and finder.key == (name, context) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(name, context))
