"""How much of the machine went to processes that have no part in a benchmark, and blur its numbers."""

import os
import time
from collections.abc import Sequence

import psutil


class Bystanders:
    """Counts processor time that was not ours."""

    def __init__(self, pids: Sequence[int]) -> None:
        """`pids` are our processes, besides this one."""
        self._ours = [psutil.Process(pid) for pid in (*pids, os.getpid())]
        self._mark = (0.0, 0.0)
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self._mark = (time.perf_counter(), self._foreign_seconds())

    def cores(self) -> float:
        """Cores that others kept busy since `begin`, on average. The clock is coarse: seconds are needed to tell."""
        began, foreign = self._mark
        return max(0.0, (self._foreign_seconds() - foreign) / (time.perf_counter() - began))

    def _foreign_seconds(self) -> float:
        system = psutil.cpu_times()
        idle = system.idle + getattr(system, "iowait", 0.0) + getattr(system, "guest", 0.0)
        ours = 0.0
        for process in self._ours:
            times = process.cpu_times()
            ours += times.user + times.system
        return float(sum(system) - idle) - ours
