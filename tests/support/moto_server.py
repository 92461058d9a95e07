"""moto, with one PUT at a time: it looks for a key before it stores it, so that two PUTs could create it."""

from __future__ import annotations

import threading
from typing import Any

from moto import server
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

LOCK = threading.Lock()


class Application(DomainDispatcherApplication):
    """The application of moto."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        if environ["REQUEST_METHOD"] != "PUT":
            return super().__call__(environ, start_response)
        with LOCK:
            return super().__call__(environ, start_response)


if __name__ == "__main__":
    vars(server)["DomainDispatcherApplication"] = Application
    server.main()
