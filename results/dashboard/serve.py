"""Who may look at the dashboard? This machine alone; others only with a token, and nothing is asked of anybody else."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import socket
import threading
import webbrowser
from typing import TYPE_CHECKING

from flask import Response, abort, redirect, request
from plotly.offline import get_plotlyjs
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Response as Answer

from fitting.errors import InputError
from results.dashboard.look import DASHBOARD_CSS
from results.figures.browser import SCRIPT, figures_script
from results.listing import plain

if TYPE_CHECKING:
    from dash import Dash

    from results.dashboard.moment import Live

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8050
TRIED_PORTS = 20  # from the default on, where none was asked for
SHORTEST_TOKEN = 16  # characters
COOKIE = "isoflop_token"


def serve(store: str, host: str, port: int | None, token: str | None, browser: bool) -> None:
    """Until Ctrl-C. Raises InputError before anything is served."""
    check_access(host, token)
    from results.dashboard.app import make_app  # brings Dash, 0.5 s
    from results.dashboard.moment import Live
    from results.store import Store

    opened = Store(store)
    live = Live(opened)
    server = make_dashboard_server(make_app(live, store), host, port, token)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{server.server_port}/"
    yet = "" if opened.exists else "; there is no such store yet, a sweep makes it"
    print(f"dashboard of {plain(store)}: {url}{'?token=…' if token else ''} (Ctrl-C ends it){yet}", flush=True)
    threading.Thread(target=_warm, args=(live,), daemon=True).start()
    if browser:
        webbrowser.open(url + (f"?token={token}" if token else ""))
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    server.server_close()


def _warm(live: Live) -> None:
    """The first law takes seconds, most of them JAX's start: it is fitted before anybody asks."""
    from fitting.cache import use_compile_cache
    from results.dashboard.fits import BEST, Asked, fit_of, points_of

    use_compile_cache()
    with contextlib.suppress(InputError):
        fit_of(live, points_of(live, live.moment().records, Asked(BEST)), BEST)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, token: str | None) -> None:
    """Raises InputError for an address that others reach without a token."""
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise InputError(
            f"--token has {len(token)} characters; allowed are {SHORTEST_TOKEN} and more, printable ASCII. Make one "
            f"with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if not is_loopback(host) and token is None:
        raise InputError(
            f"--host {host} lets others reach the store; allowed with --token SECRET, which they need too. Leave "
            f"--host "
            f"out to serve this machine alone"
        )


def make_dashboard_server(app: Dash, host: str, port: int | None, token: str | None) -> BaseWSGIServer:
    """Bound, not yet serving. Raises InputError where the address cannot be had."""
    check_access(host, token)
    _guard(app, host, token)
    _files(app)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request says nothing to anybody
    ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + TRIED_PORTS)
    reason = "taken by other programs"
    for one in ports:
        if (refusal := _refusal(host, one)) is None:
            return make_server(host, one, app.server, threaded=True)
        reason = refusal
    asked = f"port {port}" if port is not None else f"ports {DEFAULT_PORT} to {DEFAULT_PORT + TRIED_PORTS - 1}"
    raise InputError(f"{host} {asked}: {reason}; give another with --port, or 0 for any that is free")


def _refusal(host: str, port: int) -> str | None:
    """Why a server cannot be bound there; werkzeug would print its own words and exit."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as werkzeug does
            probe.bind((host, port))
    except OSError as error:
        return str(error.strerror or error)
    return None


def _guard(app: Dash, host: str, token: str | None) -> None:
    loopback = is_loopback(host)
    script = " ".join(app.csp_hashes())
    policy = (
        f"default-src 'self'; script-src 'self' {script}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
        f"form-action 'none'; frame-ancestors 'none'"
    )

    @app.server.before_request
    def allowed() -> Answer | None:
        # A page elsewhere can point a name of its own at 127.0.0.1; the Host header then still says that name.
        if loopback and not is_loopback(_name_of(request.host)):
            abort(403, "this dashboard serves this machine alone; open it as 127.0.0.1")
        if token is None:
            return None
        given = request.args.get("token")
        if given is not None and hmac.compare_digest(given.encode(), token.encode()):
            kept = {name: value for name, value in request.args.items() if name != "token"}
            query = "&".join(f"{name}={value}" for name, value in kept.items())
            answer = redirect(request.path + (f"?{query}" if query else ""))
            answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
            return answer
        if hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode()):
            return None
        abort(401, "this dashboard needs its token: open it as /?token=SECRET")

    @app.server.after_request
    def sealed(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _name_of(host: str) -> str:
    """Without the port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _files(app: Dash) -> None:
    def add(path: str, text: str, kind: str) -> None:
        app.server.add_url_rule(path, path, lambda: Response(text, mimetype=kind))

    add("/isoflop.js", figures_script() + (SCRIPT.parent / "dashboard.js").read_text(), "text/javascript")
    add("/isoflop.css", DASHBOARD_CSS, "text/css")
    add("/plotly.js", get_plotlyjs(), "text/javascript")
