"""Every page of the live page: a request in, a reply out. Rights are checked here, and what is done is noted as the CLI
notes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from deputize.core.errors import AccessDenied, BadInput, DeputizeError, NotAuthenticated
from deputize.core.records import EVERY_TENANT
from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.judgement import judge
from deputize.dashboard.rendering import Renderer
from deputize.dashboard.views import NotThere, Views, find_route
from deputize.gateway.gateway_log import log_bug
from deputize.home import Home
from deputize.http.handler import HttpReply
from deputize.operations.route_changes import close_route, promote_route, restore_previous, roll_back_route
from deputize.store.access.audit_log import acts_as
from deputize.store.access.roles import Actor, Right, may, require
from deputize.web.page_request import (
    REPORT_POLICY,
    PageRequest,
    Visit,
    html_reply,
    read_page_request,
    redirect,
)
from deputize.web.sign_in import SignIn, check_same_origin, session_cookie
from deputize.web.sign_in_page import page_file

MAX_REASON_CHARS = 500
Answer = Callable[[Visit], HttpReply]


class Page(NamedTuple):
    """One address."""

    method: str
    path: re.Pattern[str]
    right: Right
    answer: Answer


class Pages:
    """Answers requests for pages. Used by one thread."""

    def __init__(
        self,
        home: Home,
        reader: CallReader,
        sign_in: SignIn,
        *,
        cookie: str,
        base: str = "",
        is_https: bool = False,
    ) -> None:
        """
        Args:
            home: whose pages they are.
            reader: keeps the index of its calls.
            sign_in: tells who asks.
            cookie: name of the cookie of a session.
            base: path that all pages lie below; "": the root.
            is_https: browsers ask over HTTPS only.
        """
        self._home, self._reader, self._sign_in, self._base = home, reader, sign_in, base
        self._cookie, self._is_https = cookie, is_https
        self._views = Views(home, reader)
        self._render = Renderer(base, self._views, asks_for_key=sign_in.asks_for_key)
        self._pages = [
            self._page("GET", r"/", Right.SEE_STATUS, self._now),
            self._page("GET", r"/routes/([^/]+)", Right.SEE_STATUS, self._route),
            self._page("POST", r"/routes/([^/]+)", Right.PROMOTE_ROUTES, self._change_route),
            self._page("GET", r"/calls", Right.SEE_STATUS, self._calls),
            self._page("GET", r"/calls/([^/]+)", Right.SEE_STATUS, self._call),
            self._page("GET", r"/tasks", Right.SEE_STATUS, self._tasks),
            self._page("GET", r"/tasks/([^/]+)", Right.SEE_STATUS, self._task),
            self._page("GET", r"/runs", Right.SEE_STATUS, self._runs),
            self._page("GET", r"/runs/([^/]+)/report", Right.SEE_STATUS, self._report),
            self._page("GET", r"/audits", Right.SEE_STATUS, self._audits),
            self._page("GET", r"/audits/([^/]+)", Right.READ_CURATED, self._audit),
            self._page("POST", r"/audits/([^/]+)", Right.WRITE_FEEDBACK, self._judge),
        ]

    @staticmethod
    def _page(method: str, path: str, right: Right, answer: Answer) -> Page:
        return Page(method, re.compile(path), right, answer)

    def close(self) -> None:
        """Forgets all texts."""
        self._views.close()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """The reply to a request; every error becomes one.

        Args:
            method: as sent.
            target: path with its query.
            headers: lower-case names.
            body: as sent.
        """
        with self._reader.standing_still():
            return self._answer(method, target, headers, body)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        actor: Actor | None = None
        try:
            if method not in ("GET", "HEAD", "POST"):
                return self._render.message(405, "This page is read with GET.", None)
            request = read_page_request(method.replace("HEAD", "GET"), target, headers, body, self._base)
            if request.path.startswith("/assets/"):
                found = page_file(request.path.removeprefix("/assets/"))
                return found or self._render.message(404, "There is no such file.", None)
            if request.method == "POST":
                check_same_origin(request)
            begun = self._sign_in.begin(request)
            if begun:
                return redirect(f"{self._base}/", [self._session(begun)])
            cookie = request.cookie(self._cookie)
            actor = self._sign_in.actor_of(cookie)
            return self._signed_in(request, actor, cookie)
        except NotAuthenticated as error:
            if self._sign_in.asks_for_key:  # the key of a session has been revoked
                return redirect(f"{self._base}/sign-in", [self._session("")])
            return self._render.message(401, str(error), None)
        except DeputizeError as error:
            # of what is broken here, files are named to who may see the whole home only
            sees_all = actor is not None and actor.tenant == EVERY_TENANT
            said = self._views.said(error, "" if sees_all else "one")
            if error.http_status >= 500 and not sees_all:
                said = "This cannot be shown or done now; the log has the details."
            return self._render.message(error.http_status, said, actor)
        except Exception as error:  # noqa: BLE001 - the edge: a bug answers 500 and is logged without its payload
            log_bug(error)
            return self._render.message(
                500, "Something went wrong that should not have; the log has the details.", actor
            )

    def _session(self, value: str) -> tuple[str, str]:
        return session_cookie(self._cookie, value, path=self._base, is_https=self._is_https)

    def _signed_in(self, request: PageRequest, actor: Actor, cookie: str) -> HttpReply:
        token = self._sign_in.sessions.form_token(cookie)
        if request.method == "POST":
            if not self._sign_in.sessions.is_form_token(cookie, request.form.get("token", "")):
                raise AccessDenied("This form is of another session. Load the page again.")
            if request.path == "/sign-out":
                return redirect(f"{self._base}/", [self._session("")])
        for page in self._pages:
            found = page.path.fullmatch(request.written_path)
            if found is not None and page.method == request.method:
                with acts_as(actor.name):
                    self._check(actor, page.right, request.path)
                    id = unquote(found[1], errors="replace") if page.path.groups else ""
                    return page.answer(Visit(request, actor, token, id))
        raise NotThere("There is no such page.")

    def _check(self, actor: Actor, right: Right, path: str) -> None:
        """Raises AccessDenied, and has it in the audit log, where the actor may not."""
        try:
            require(actor, right)
        except AccessDenied:
            detail = {"right": right.value, "where": "dashboard"}
            self._home.audit.append("denied", actor=actor.name, subject=path[:100], detail=detail)
            raise

    # --- what is shown ---

    def _now(self, visit: Visit) -> HttpReply:
        return html_reply(self._render.page("now", visit, **self._views.now(visit.tenant)))

    def _route(self, visit: Visit) -> HttpReply:
        with_history = may(visit.actor, Right.READ_AUDIT) and (self._home.path / "audit.log").exists()
        found = self._views.route(visit.id, visit.tenant, with_history=with_history)
        return html_reply(self._render.page("route", visit, **found))

    def _calls(self, visit: Visit) -> HttpReply:
        wanted = {name: visit.request.query.get(name, "") for name in ("route", "site", "agent", "model")}
        return html_reply(self._render.page("calls", visit, **self._views.calls(visit.tenant, wanted)))

    def _call(self, visit: Visit) -> HttpReply:
        return html_reply(self._render.page("call", visit, **self._views.call(visit.id, visit.tenant)))

    def _tasks(self, visit: Visit) -> HttpReply:
        return html_reply(self._render.page("tasks", visit, **self._views.tasks(visit.tenant)))

    def _task(self, visit: Visit) -> HttpReply:
        found = self._views.task(visit.id, visit.tenant)
        may_read = may(visit.actor, Right.READ_CURATED)
        examples, why_none = None, ""
        if may_read:
            run_id = str(found["report"]["run_id"])
            try:
                examples = self._views.task_examples(run_id, visit.id, visit.tenant)
            except DeputizeError as error:  # what the report says of the task stands
                examples, why_none = [], self._views.said(error, visit.tenant)
            if examples:  # before they leave; not at each look whether they are read by now
                detail = {"what": "examples", "task": visit.id}
                self._home.audit.append("read.curated", subject=run_id, tenant=visit.tenant, detail=detail)
        return html_reply(
            self._render.page("task", visit, **found, examples=examples, why_none=why_none, may_read=may_read)
        )

    def _runs(self, visit: Visit) -> HttpReply:
        first, second = (visit.request.query.get(name, "") for name in ("first", "second"))
        compared = self._views.runs_difference(first, second, visit.tenant) if first and second else None
        rows = self._views.runs(visit.tenant)
        return html_reply(
            self._render.page("runs", visit, runs=rows, compared=compared, first=first, second=second)
        )

    def _report(self, visit: Visit) -> HttpReply:
        return html_reply(self._views.report_page(visit.id, visit.tenant), policy=REPORT_POLICY)

    def _audits(self, visit: Visit) -> HttpReply:
        may_read = may(visit.actor, Right.READ_CURATED)
        found = self._views.audits(visit.tenant)
        return html_reply(self._render.page("audits", visit, **found, may_read=may_read))

    def _audit(self, visit: Visit) -> HttpReply:
        fact, served, audit = self._views.audit(visit.id, visit.tenant)
        pair = self._views.pair(served, audit)
        if pair is not None:
            self._home.audit.append(
                "read.curated", subject=fact.asked, tenant=fact.tenant, detail={"what": "audit"}
            )
        said = self._views.index.verdict(visit.id)
        may_judge = may(visit.actor, Right.WRITE_FEEDBACK)
        return html_reply(
            self._render.page("audit", visit, fact=fact, pair=pair, said=said, may_judge=may_judge)
        )

    # --- what is done ---

    def _change_route(self, visit: Visit) -> HttpReply:
        form, file = visit.request.form, self._views.route_file(visit.tenant)
        action, reason = form.get("action", ""), form.get("reason", "").strip()[:MAX_REASON_CHARS]
        before = find_route(file, visit.id, challenger=form.get("version") == "challenger")
        if not reason:
            raise BadInput("Say why: the reason is kept in the audit log.")
        if action in ("next", "live"):
            promote_route(self._home, before, action, reason)
        elif action == "rollback":
            roll_back_route(self._home, before, reason)
        elif action == "previous":
            restore_previous(self._home, file, before, reason)
        elif action == "close":
            close_route(self._home, before, reason)
        else:
            raise BadInput(f"A route is promoted, rolled back or closed, and not {action[:20]!r}.")
        return redirect(f"{self._base}/routes/{quote(visit.id, safe='')}")

    def _judge(self, visit: Visit) -> HttpReply:
        self._check(visit.actor, Right.READ_CURATED, visit.request.path)
        fact, served, audit = self._views.audit(visit.id, visit.tenant)
        verdict = judge(self._home.store, served, audit, visit.request.form.get("verdict", ""))
        self._home.audit.append(
            "feedback.label", subject=fact.asked, tenant=fact.tenant, detail={"verdict": verdict}
        )
        self._views.index.note_verdict(visit.id, verdict)
        left = [f.id for f in self._views.index.differed(visit.tenant) if not self._views.index.verdict(f.id)]
        return redirect(f"{self._base}/audits" + (f"/{quote(left[0], safe='')}" if left else ""))
