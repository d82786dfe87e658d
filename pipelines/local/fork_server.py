"""`python -m pipelines.local.fork_server ADDRESS`: imports what tasks need, then forks for each that is asked for."""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import selectors
import signal
import socket
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from components.execute import RUNTIME
from pipelines.local.fork_server_client import HEADER
from unlearning.core.errors import leave

STANDARD = (0, 1, 2)


ALWAYS = (
    "kfp.dsl.executor_main", "unlearning.registry.client", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "matplotlib.pyplot", "sklearn.datasets",
)  # fmt: skip
"""Beside our steps: what they import while they work."""
WITHOUT_GPU = "torch._dynamo"
"""Optimisers import it. It asks for GPUs, and a process that has asked CUDA cannot be forked."""
GPU = Path("/dev/nvidiactl")


def preload() -> None:
    """Import what tasks import; nothing is computed, and no thread of ours started."""
    os.environ[RUNTIME] = "true"
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # lets torch look for GPUs in a way that bears forks
    import unlearning.steps

    steps = [f"unlearning.steps.{module.name}" for module in pkgutil.iter_modules(unlearning.steps.__path__)]
    for name in (*ALWAYS, *steps, *([] if GPU.exists() else [WITHOUT_GPU])):
        importlib.import_module(name)
    gc.freeze()  # else the first collection of every child would copy all of it


def serve(address: str) -> None:
    """Until standard input ends: it does when whoever started this is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # tasks stop by themselves, and the runner ends this
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what a child has to say it says through its connection
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in waiting.select()}
            if sys.stdin.fileno() in ready:
                return
            if listener in ready:
                _accepted(listener)


def _accepted(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with warnings.catch_warnings():
        # Threads of numerical libraries that wait for work: they know about forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        listener.close()
        _be_the_task(connection)
    connection.close()


def _received(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    header, descriptors, _, _ = socket.recv_fds(connection, HEADER.size, len(STANDARD))
    (size,) = HEADER.unpack(header)
    content = b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    request: dict[str, Any] = json.loads(content)
    return request, descriptors


def _be_the_task(connection: socket.socket) -> None:
    """Never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request, descriptors = _received(connection)
        for standard, given in zip(STANDARD, descriptors, strict=True):
            os.dup2(given, standard)
            os.close(given)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        random.seed()
        code = _run(request["arguments"])
    finally:
        connection.sendall(bytes([code]))
        os._exit(code)


def _run(arguments: list[str]) -> int:
    """As `python -m module …` would; the exit code."""
    option, module, *rest = arguments
    if option != "-m":
        raise ValueError(f"only modules can be run, not {option}")
    sys.argv = [module, *rest]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if ended.code is not None and not isinstance(ended.code, int):
            print(ended.code, file=sys.stderr)
    except BaseException as error:
        leave(error)
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code & 0xFF


if __name__ == "__main__":
    serve(sys.argv[1])
