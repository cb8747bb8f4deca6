"""A job that writes to the database, exactly once."""

from rush import Job


class MoveToDb(Job):
    """Writes some rows into the table `public.moved_rows`."""

    def run(self):
        rows = int(self.params.get("rows", 100))
        # What is written in this transaction commits together with the job's completion:
        # both or neither, whatever dies on the way. So it is the last thing a job does.
        with self.transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS public.moved_rows"
                " (jobinstance int, number int, moved_at timestamptz DEFAULT now())"
            )
            connection.execute(
                "INSERT INTO public.moved_rows (jobinstance, number)"
                " SELECT %s, number FROM generate_series(1, %s) AS number",
                (self.jobinstance, rows),
            )
            self.logger.info("moved %d rows", rows)
            return {"rows": rows}
