"""What a process of its own does in a test: it says who it is, and sleeps."""

import os
import time
from pathlib import Path


def sleep(told):
    Path(told).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(300)
