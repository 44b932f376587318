"""Does the code keep to its rooms? Import circles, crowded folders and long modules; prints them.

    python -m tests.house

Exit status 1 if there is a circle, a folder of more than 15 modules, or a module of 350 lines.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parent.parent
PRODUCT = ("games", "marl", "analysis", "scenarios")
EVERYWHERE = (*PRODUCT, "tests", "benchmarks", "examples")
MOST_MODULES = 15  # of a folder, its __init__ apart
MOST_LINES = 350


def modules(packages: tuple[str, ...]) -> dict[str, Path]:
    """Every module of these packages by its dotted name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports anywhere, in functions and for types alone too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles() -> list[list[str]]:
    """Modules of the product that import each other, directly or through others."""
    known = modules(PRODUCT)
    graph = nx.DiGraph((name, other) for name in known for other in imports(known[name], known))
    return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]


def crowded() -> dict[str, int]:
    """Folders with too many modules."""
    paths = modules(EVERYWHERE).values()
    count = Counter(str(p.parent.relative_to(ROOT)) for p in paths if p.name != "__init__.py")
    return {folder: number for folder, number in count.items() if number > MOST_MODULES}


def lengths() -> dict[str, int]:
    """Lines of every module of the product and of the benchmarks."""
    known = modules((*PRODUCT, "benchmarks"))
    return {name: len(path.read_text().splitlines()) for name, path in known.items()}


def main() -> int:
    found, full, lines = circles(), crowded(), lengths()
    long = {name: count for name, count in lines.items() if count >= MOST_LINES}
    print(f"import circles: {len(found)}")
    for circle in found:
        print("  " + " <-> ".join(circle))
    print(f"folders of more than {MOST_MODULES} modules: {len(full)}")
    for folder, count in full.items():
        print(f"  {folder}: {count}")
    longest = max(lines, key=lambda name: lines[name])
    print(f"longest module: {longest}, {lines[longest]} lines (below {MOST_LINES} wanted)")
    for name, count in sorted(long.items()):
        print(f"  {name}: {count}")
    return 1 if found or full or long else 0


if __name__ == "__main__":
    sys.exit(main())
