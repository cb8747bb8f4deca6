"""A job that does nothing, visibly."""

import time

from rush import Job


class DummyJob(Job):
    """Logs its parameters, takes a short while, and says how far it is."""

    def run(self):
        steps = int(self.params.get("steps", 5))
        self.logger.info("parameters: %s", dict(self.params))
        for step in range(steps):
            time.sleep(0.2)
            self.progress(step + 1, steps)
        return {"steps": steps}
