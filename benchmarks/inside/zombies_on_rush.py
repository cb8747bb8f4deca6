"""Rush's job. This file and `zombies.py` make up the project."""

import os
import time

import psycopg
import zombies

from rush import Job

MARK = "INSERT INTO public.mark (number, name, what) VALUES (%s, %s, %s)"


class Hold(Job):
    def run(self):
        with psycopg.connect(os.environ["RUSH_DATABASE_URL"], autocommit=True) as connection:
            mark = [self.params["number"], zombies.NAME]
            connection.execute(MARK, [*mark, "begun"])
            while not zombies.may_go_on():
                time.sleep(zombies.LOOK)
            connection.execute(MARK, [*mark, "over"])
