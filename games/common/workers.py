"""Starting Ray, for work in several processes on this machine or a running cluster."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from games.common.errors import InputError, one_line
from games.common.extras import missing

LONGEST_CALL = 5.0  # seconds for a cluster to answer
EXPECTED = "A worker died or was killed while executing a task"  # the caller reports it
ASKING = {"RAY_py_gcs_connect_timeout_s": "3", "RAY_BACKEND_LOG_LEVEL": "error"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class WorkerError(RuntimeError):
    """A worker process died permanently or does not start; the message is one line."""


@contextmanager
def running_ray(
    cpus: int | None = None, address: str | None = None, *, extra: str = "parallel"
) -> Iterator[Any]:
    """The module `ray`, connected; what was started here is shut down at the end.

    Args:
        cpus: processes at once, on this machine; None: as many as it has.
        address: of a cluster that runs already; None: this machine alone.
        extra: of pyproject.toml, that brings Ray and what else the caller needs.

    Raises:
        InputError: Ray is not installed, no cluster answers at the address, or it does not let us
            in.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", EXPECTED)  # Ray reads it when imported
    try:
        import ray
    except ImportError:
        raise missing("several processes need Ray", extra) from None
    if ray.is_initialized():
        yield ray
        return
    if address is not None:
        _require_answer(address)
    main = threading.current_thread() is threading.main_thread()
    terminate = signal.getsignal(signal.SIGTERM) if main else None
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": ONE_THREAD},
    }
    with ExitStack() as stack:
        if address is None:
            stack.enter_context(_environment(_secret()))
            options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
        else:
            options["address"] = address
        stack.callback(ray.shutdown)
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            if address is None:
                raise
            raise _shut_out(address, error) from None
        for name in ("ray.rllib", "ray.tune"):
            logging.getLogger(name).setLevel(logging.ERROR)  # they advertise at every start
        if main:
            signal.signal(signal.SIGTERM, terminate)  # Ray puts a handler of its own there
        yield ray


def _secret() -> dict[str, str]:
    """What processes that are started here share: their ports are open to the network.

    Ray would write it to the home folder, to stay there.
    """
    return {} if "RAY_AUTH_MODE" in os.environ else {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for Ray, which is made to look at them again."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    def look() -> None:
        AuthenticationTokenLoader.instance().reset_cache()
        Config.initialize("")

    names = (*values, "RAY_AUTH_MODE")  # which Ray sets itself
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(values)
    look()
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
        look()


def _require_answer(address: str) -> None:
    """Raises InputError if no cluster answers at host:port; `ray.init` would try for minutes."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError, RpcError

    if "://" in address:
        raise InputError(
            f"{address} is an address for Ray's client, which cannot train: run this on a node of "
            "the cluster, with its head's own address, such as 10.0.0.1:6379"
        )
    host, colon, port = address.rpartition(":")
    if not colon:  # "auto", or a name for Ray to look up
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LONGEST_CALL).close()
        with _environment(ASKING):
            GcsClient(address=address)
    except (OSError, ValueError, OverflowError, RpcError) as error:
        raise _nobody(address, error) from None
    except AuthenticationError as error:
        raise _shut_out(address, error) from None


def _nobody(address: str, error: Exception) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address} ({one_line(error)[:160]}): start one with `ray "
        "start --head`, or leave the address out"
    )


def _shut_out(address: str, error: Exception) -> InputError:
    """Why somebody listens at the address, but will not have us."""
    why = one_line(error)
    if isinstance(error, ConnectionError) and "find any running Ray" in why:
        return _nobody(address, error)
    if "mismatch" in why:
        fix = "install the same versions of Python and Ray on every node"
    elif "oken" in why:
        fix = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as the cluster has them"
    else:
        fix = "run this on one of its nodes"
    return InputError(f"cannot join the Ray cluster at {address} ({why[:300]}): {fix}")
