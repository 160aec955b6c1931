"""Where a number comes from: versions, processor, memory."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def describe_machine():
    """Versions, hardware and date, as JSON types; no host name, no path."""
    import torch

    from skrr2qc import __version__

    packages = ("numpy", "scikit-learn", "torch")
    versions = {"skrr2qc": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in packages}
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "versions": versions,
        "commit": _commit(),
        "machine": {
            "cpu": _processor(),
            "cores": n_cores(),
            "threads": torch.get_num_threads(),
            "bf16": bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def peak_memory():
    """Largest resident memory of this process so far, in MiB; None where nobody counts it.

    Linux adds what the parent held to ``ru_maxrss`` of a process that was spawned, therefore its
    own count is read there.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _processor():
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def n_cores():
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _commit():
    """Short name of the commit, with "+" where files were changed since; None outside git."""
    here = Path(__file__).parent
    run = {"cwd": here, "capture_output": True, "text": True, "check": True}
    try:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], **run).stdout.strip()
        status = ["git", "status", "--porcelain", "--", "../skrr2qc"]
        return commit + ("+" if subprocess.run(status, **run).stdout.strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
