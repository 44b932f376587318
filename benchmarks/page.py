"""A page of measured figures, written a section at a time."""

from __future__ import annotations

import argparse
import contextlib
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

QUICK = "--quick"
Section = tuple[str, Callable[[], list[str]]]
"""A title, and what measures the lines below it."""


def quick() -> bool:
    """Whether the command is a quick check that everything runs."""
    return QUICK in sys.argv


@dataclass(frozen=True)
class Page:
    """A page's head, and its sections by the names that `--only` takes."""

    path: Path
    head: str
    sections: Mapping[str, Section]

    def main(self, about: str | None) -> None:
        """The command: measure the requested sections, print them and write them to the page."""
        parser = argparse.ArgumentParser(
            description=(about or "").split("\n")[0], allow_abbrev=False
        )
        parser.add_argument("--only", nargs="+", choices=self.sections, default=list(self.sections))
        parser.add_argument(QUICK, action="store_true", help="see that it runs; writes nothing")
        arguments = parser.parse_args()

        import torch

        from games.common.workers import running_ray

        torch.set_num_threads(1)
        with running_ray(cpus=1):
            for name in arguments.only:
                title, section = self.sections[name]
                lines = section()
                print(f"## {title}\n", *lines, sep="\n", flush=True)
                if not quick():
                    self._write(title, lines)

    def _write(self, title: str, lines: Sequence[str]) -> None:
        """Put a section in its place, and leave the others as they are."""
        found: dict[str, str] = {}
        if self.path.exists():
            for part in self.path.read_text(encoding="utf-8").split("\n## ")[1:]:
                head, _, body = part.partition("\n")
                found[head] = body.strip()
        found[title] = "\n".join(lines).strip()
        titles = [title for title, _ in self.sections.values() if title in found]
        self.path.write_text(
            self.head + "".join(f"\n## {name}\n\n{found[name]}\n" for name in titles),
            encoding="utf-8",
        )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown, the first column to the left, with an empty line below."""
    first, *rest = (f"| {' | '.join(map(str, line))} |" for line in (columns, *rows))
    return [first, f"|---|{'---:|' * (len(columns) - 1)}", *rest, ""]


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.machine()
