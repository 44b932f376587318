"""How deep the tree of an `.efg` file is, from its text.

Gambit's reader calls itself for every move and does not look at its stack: beyond some depth the
process ends in a segmentation fault. So the depth has to be known before the reader is asked.
"""

from __future__ import annotations

import re
import threading

STACK_OF_A_MOVE = 1_600  # bytes: the reader takes 640, Gambit's expected payoffs 1,260
MOST_MOVES = 5_000  # as in a walk, see games.finite.budget
ORDINARY_STACK = 1 << 20  # bytes, where the system does not say
SHORTEST_NODE = len('c""1{"a"1}0')

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}]|[^\s{}",]+', re.DOTALL)


def deepest_readable() -> int:
    """The most moves of a play that Gambit can read on this thread's stack."""
    return min(MOST_MOVES, _stack() // STACK_OF_A_MOVE)


def depth(text: str) -> int:
    """The most moves in a play of a tree in Gambit's extensive format; of chance too.

    Nodes stand in prefix order: `p` a player's, `c` chance's, `t` an end. A node has a child for
    every action in braces; where an information set comes again they may be left out. In a file
    that is none a number comes out all the same: what is wrong with it is the reader's to say.
    """
    arity: dict[tuple[str, ...], int] = {}
    missing: list[int] = []  # children to come, of every node on the way to the next one
    deepest = 0
    kind, actions, braces = "", 0, 0  # of the node that is being read
    numbers: list[str] = []

    def close() -> None:
        """Count the node whose tokens are all read."""
        nonlocal deepest
        if kind in ("p", "c"):
            key = (kind, *numbers[: 2 if kind == "p" else 1])
            missing.append(arity.setdefault(key, actions) or actions)
            deepest = max(deepest, len(missing))
        elif kind == "t":
            while missing:
                missing[-1] -= 1
                if missing[-1] > 0:
                    break
                missing.pop()

    for token in TOKEN.findall(text):
        if token == "{":
            braces += 1
        elif token == "}":
            braces = max(braces - 1, 0)
        elif braces:
            actions += token[0] == '"'
        elif token in ("p", "c", "t"):
            close()
            kind, numbers, actions = token, [], 0
        elif token[0] != '"':
            numbers.append(token)
    close()
    return deepest


def require_readable(text: str) -> None:
    """Raise ValueError if the tree is too deep for Gambit's reader."""
    most = deepest_readable()
    if len(text) > most * SHORTEST_NODE and (moves := depth(text)) > most:
        raise ValueError(
            f"a tree {moves:,} moves deep; its reader takes up to {most:,} here, so shorten the "
            "plays"
        )


def _stack() -> int:
    """Size of this thread's stack, in bytes."""
    if threading.current_thread() is not threading.main_thread():
        size = threading.stack_size()
        threading.stack_size(size)  # reading it also resets it
        if size:
            return size
    try:
        import resource
    except ImportError:  # Windows
        return ORDINARY_STACK
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    # Without a limit a thread gets two megabytes.
    return soft if soft > 0 else 2 * ORDINARY_STACK
