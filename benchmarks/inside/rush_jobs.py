"""Rush's jobs. This file and `steps.py` make up the project that is measured."""

import os

from steps import fibo, stamp

from rush import Job


class Noop(Job):
    def run(self):
        self.logger.info("nothing to do in process %d", os.getpid())


class Stamp(Job):
    def run(self):
        stamp()


class Fibo(Job):
    def run(self):
        value = fibo(self.params["n"])
        if self.params.get("last"):
            stamp()
        return value
