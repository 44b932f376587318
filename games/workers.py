"""Ray's processes, for whatever needs several: on this machine, or in a running cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from games.errors import InputError, one_line

LONGEST_CALL = 5.0  # seconds for a cluster to answer
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@contextmanager
def running_ray(cpus: int | None = None, address: str | None = None) -> Iterator[Any]:
    """The module `ray`, connected; what was started here is shut down at the end.

    Args:
        cpus: processes at once, on this machine; None: as many as it has.
        address: of a cluster that runs already; None: this machine alone.

    Raises:
        InputError: Ray is not installed, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise InputError(
            "several processes need Ray: in the checkout, pip install -c constraints.txt "
            "'.[parallel]'"
        ) from None
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
    if address is None:
        # Nobody else is to reach these processes, and no token is to be left on the disk for them.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        options |= {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        raise _nobody(address, error) from None
    for name in ("ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they advertise at every start
    try:
        if main:
            signal.signal(signal.SIGTERM, terminate)  # Ray puts a handler of its own there
        yield ray
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Raises InputError if nothing listens at host:port; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:  # "auto", or a name for Ray to look up
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LONGEST_CALL).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _nobody(address, error) from None


def _nobody(address: str, error: Exception) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address} ({one_line(error)[:160]}): start one with `ray "
        "start --head`, or leave the address out"
    )
