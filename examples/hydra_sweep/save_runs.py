"""A Hydra callback that saves the result that a job returns, or the failure that it raises."""

from datetime import datetime, timezone

from hydra.experimental.callback import Callback

from llenergymeasure import ResultStore


class SaveRuns(Callback):
    def __init__(self, store):
        self.store = ResultStore(store)

    def on_job_start(self, **_):
        self.started = datetime.now(timezone.utc)

    def on_job_end(self, config, job_return, **_):
        # Hydra turns an exception of a callback into a warning, and goes on.
        try:
            result = job_return.return_value
        except Exception as error:
            self.store.save_failure(config.run, error, started=self.started)
        else:
            if result is not None:
                self.store.save(result)
