"""Links calls of one run of an agent where the log does not name the run.

Most agents send the conversation so far with every step, so a step can be recognised by its history: its messages begin
with those of an earlier call and that call's reply. Other evidence are ids that only the earlier reply can have given
(of tool calls, of responses), an earlier reply that reappears word for word, and session fields of the request.

The log is read once, call by call; what is kept of it are digests of 8 bytes. Prefixes of histories are nodes of a
tree, so that a message that a hundred later steps repeat is stored once.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from deputize.core.artifacts import LINKED, EpisodeLinks, LinkedBy
from deputize.core.contracts import text_of
from deputize.core.records import Call, Message

MIN_REPLY_CHARS = 80
"""A shorter reply that reappears in a history is no evidence: many calls may have been answered so."""
MAX_GAP_S = 30 * 60.0
"""Calls of one person that are linked by nothing else are one episode where less time than this lies between them."""
MAX_SHARE = 0.1
"""A user with more than this share of the calls is no person whose calls are one run because they are close in time."""
_MIN_CALLS_OF_PROGRAM = 50
_TEMPLATE_CONTINUATIONS = 3
"""A prefix that this many histories continue before anybody was answered so is part of a prompt (examples), not a
history."""
_MAX_CONTINUATIONS = 32
"""The same for logs without times: distinct continuations of one call."""
_KEPT_KEYS, _MAX_CANDIDATES = 4, 64
_SESSION_FIELDS = (
    "session_id",
    "conversation_id",
    "thread_id",
    "run_id",
    "episode_id",
    "litellm_session_id",
    "chat_id",
)
_SYSTEM_ROLES = ("system", "developer")


def link_episodes(calls: Iterable[Call]) -> EpisodeLinks:
    """Links the calls of a log.

    An episode that the log names always holds; calls without a name may join it. Calls with equal prompts (retries,
    scheduled jobs) are not one episode. With times on all calls the result does not depend on the order of the log.
    """
    linker = _Linker()
    for call in calls:
        linker.add(call)
    return linker.link()


class _Tree:
    """The prefixes of all histories: a node is a list of messages, its parent the list without the last one."""

    def __init__(self) -> None:
        self._node_of: dict[bytes, int] = {}
        self.parent = array("L", [0])
        self.is_reply = bytearray([0])
        """1 where the last message is an assistant's."""
        self.n_children = array("L", [0])

    def node(self, digest: bytes, parent: int, is_reply: bool) -> int:
        """The node of a list of messages with this digest."""
        node = self._node_of.get(digest)
        if node is None:
            node = self._node_of[digest] = len(self.parent)
            self.parent.append(parent)
            self.is_reply.append(is_reply)
            self.n_children.append(0)
            self.n_children[parent] += 1
        return node


class _Linker:
    """Collects facts of calls, then links them."""

    def __init__(self) -> None:
        self._tree = _Tree()
        self._ids: list[str] = []
        self._named: list[str] = []
        """The episode that the log names, else ""."""
        self._n_messages, self._asked, self._answered = array("L"), array("L"), array("L")
        """By call: messages without the system prompt, the node of all of them, and the node with the reply."""
        self._system, self._time = array("Q"), array("d")
        self._given: list[tuple[int, ...]] = []
        """Keys that the call's reply has given out: ids, and the reply itself where it is long."""
        self._needed: list[tuple[int, ...]] = []
        """Keys in the call's history."""
        self._sessions: list[tuple[int, ...]] = []
        self._user = array("Q")
        """0 where the call does not say who asked."""
        self._is_grouped = bytearray()
        self.dated = True

    def add(self, call: Call) -> None:
        """Adds a call of the log."""
        tree = self._tree
        history = hashlib.blake2b(_utf8(f"tenant\0{call.tenant}"), digest_size=8)
        node = tree.node(history.digest(), 0, False)
        system, n_messages = hashlib.blake2b(digest_size=8), 0
        tool_ids: list[int] = []
        replies: list[int] = []
        for message in call.messages:
            role = message.get("role")
            if role in _SYSTEM_ROLES:
                system.update(_utf8(text_of(message).strip()))
                continue
            is_reply = role == "assistant"
            content = _content(message)
            history.update(content)
            node = tree.node(history.digest(), node, is_reply)
            n_messages += 1
            if "tool_calls" in message or "tool_call_id" in message:
                tool_ids += _tool_ids(message)
            if is_reply and len(content) >= MIN_REPLY_CHARS:
                replies.append(_digest(b"reply" + content))
        answered = 0
        given = [_digest(b"response" + _utf8(id)) for id in (call.id, call.response_id) if id]
        if call.response:
            reply = _content({**call.response, "role": "assistant"})
            history.update(reply)
            answered = tree.node(history.digest(), node, True)
            given += _tool_ids(call.response)
            if len(reply) >= MIN_REPLY_CHARS:
                given.append(_digest(b"reply" + reply))
        sessions, responses = _sessions(call), _earlier_response(call)
        self._ids.append(call.id)
        self._named.append(call.episode)
        self._is_grouped.append(bool(call.group))
        self._n_messages.append(n_messages)
        self._asked.append(node)
        self._answered.append(answered)
        self._system.append(int.from_bytes(system.digest(), "big"))
        self._time.append(call.timestamp or 0.0)
        self.dated &= call.timestamp is not None
        self._given.append(tuple(given))
        self._needed.append((*responses, *tool_ids[-_KEPT_KEYS:], *replies[-_KEPT_KEYS:]))
        self._sessions.append((*sessions, *responses[:1]))
        user = call.origin or call.params.get("user")
        self._user.append(_digest(_utf8(f"{call.tenant}\0{user}")) if user else 0)

    def link(self) -> EpisodeLinks:
        n = len(self._ids)
        if self.dated:
            rank = sorted(range(n), key=lambda i: (self._time[i], self._n_messages[i], self._ids[i]))
            order = rank
        else:  # a step has more messages than the one before it
            rank = list(range(n))
            order = sorted(rank, key=lambda i: self._n_messages[i])
        position = array("L", bytes(array("L").itemsize * n))
        for at, i in enumerate(rank):
            position[i] = at
        episodes = _Episodes(self._named, position)
        self._by_history(order, position, episodes)
        self._by_sessions(episodes)
        if self.dated:
            self._by_user(rank, episodes)
        return self._result(episodes)

    def _by_history(self, order: list[int], position: array[int], episodes: _Episodes) -> None:
        n_given = Counter(key for keys in self._given for key in set(keys))
        giver: dict[int, int] = {}
        seen: set[int] = set()
        """Keys that stood in a history before anybody gave them out: part of the prompt."""
        histories = _Histories(self._tree, self._system, position, self.dated)
        for i in order:
            earlier = histories.find(i, self._asked[i])
            if earlier is None:
                earlier = next((giver[key] for key in self._needed[i] if key in giver), None)
            if earlier is not None:
                episodes.join(i, earlier, "history")
            seen.update(key for key in self._needed[i] if key not in giver)
            giver |= {key: i for key in self._given[i] if n_given[key] == 1 and key not in seen}
            histories.add(i, self._asked[i], self._answered[i])

    def _by_sessions(self, episodes: _Episodes) -> None:
        members: dict[int, list[int]] = defaultdict(list)
        for i, keys in enumerate(self._sessions):
            for key in keys:
                members[key].append(i)
        for calls in members.values():
            for i in calls[1:]:
                episodes.join(i, calls[0], "session")

    def _by_user(self, rank: list[int], episodes: _Episodes) -> None:
        n_calls = Counter(self._user)
        last: dict[int, int] = {}
        for i in rank:
            user = self._user[i]
            if not user or n_calls[user] > max(_MIN_CALLS_OF_PROGRAM, MAX_SHARE * len(rank)):
                continue
            before = last.get(user)
            if (
                before is not None
                and not self._named[i]
                and self._time[i] - self._time[before] <= MAX_GAP_S
                and episodes.is_alone(i)
            ):
                episodes.join(i, before, "session")
            last[user] = i

    def _result(self, episodes: _Episodes) -> EpisodeLinks:
        counts: dict[LinkedBy, int] = {"header": 0, "history": 0, "session": 0, "none": 0}
        episode_of: dict[str, str] = {}
        for i, id in enumerate(self._ids):
            by = episodes.linked_by[i]
            if self._named[i]:
                counts["header"] += 1
            elif by == "none":
                counts["header" if self._is_grouped[i] else "none"] += 1
            else:
                counts[by] += 1
                first = episodes.first(i)
                digest = hashlib.blake2b(_utf8(self._ids[first]), digest_size=8).hexdigest()
                episode_of[id] = episodes.name(i) or LINKED + digest
        return EpisodeLinks(episode_of=episode_of, linked_by=counts, dated=self.dated)


class _Histories:
    """Earlier calls by the node of their messages, and by that with their reply."""

    def __init__(self, tree: _Tree, system: array[int], position: array[int], dated: bool) -> None:
        self._tree, self._system, self._position, self._dated = tree, system, position, dated
        self._asked_at: dict[int, list[int]] = {}
        self._answered_at: dict[int, list[int]] = {}
        self._templates: set[int] = set()
        self._n_active = array("L", bytes(len(tree.parent) * array("L").itemsize))
        """Continuations of each node in the calls so far."""
        self._is_active = bytearray(len(tree.parent))
        self._extended: Counter[int] = Counter()

    def add(self, i: int, asked: int, answered: int) -> None:
        self._activate(asked)
        for node, calls_at in ((asked, self._asked_at), (answered, self._answered_at)):
            if not node or node in self._templates:
                continue
            if node not in calls_at and self._n_active[node] >= _TEMPLATE_CONTINUATIONS:
                self._templates.add(node)
            else:
                calls_at.setdefault(node, []).append(i)

    def find(self, i: int, asked: int) -> int | None:
        """The earlier call that a call continues: the one with the longest common history."""
        node, below = asked, 0
        while node:
            if answered := self._answered_at.get(node):
                is_history = self._dated or self._tree.n_children[node] <= _MAX_CONTINUATIONS * len(answered)
                return self._one_of(answered, i) if is_history else None
            if node in self._templates:
                return None
            if below and self._tree.is_reply[below] and len(siblings := self._asked_at.get(node, [])) == 1:
                # the history has another reply than was recorded: edited, or of an attempt that is not in the log
                return self._one_of(siblings, i)
            node, below = self._tree.parent[node], node
        return None

    def _one_of(self, calls: list[int], i: int) -> int:
        """Of several equal calls the one that nobody continued yet, with the same system prompt, the latest before."""
        position = self._position
        end = bisect_left(calls, position[i], key=position.__getitem__)
        found = max(
            calls[max(0, end - _MAX_CANDIDATES) : end] or calls[:_MAX_CANDIDATES],
            key=lambda c: (
                self._extended[c] == 0,
                self._system[c] == self._system[i],
                position[c],
            ),
        )
        self._extended[found] += 1
        return found

    def _activate(self, node: int) -> None:
        while node and not self._is_active[node]:
            self._is_active[node] = 1
            node = self._tree.parent[node]
            self._n_active[node] += 1


class _Episodes:
    """Sets of linked calls; two episodes that the log names are never joined."""

    def __init__(self, named: list[str], position: array[int]) -> None:
        self._parent = list(range(len(named)))
        self._position = position
        self.linked_by: list[LinkedBy] = ["none"] * len(named)
        self._name = list(named)
        first_of: dict[str, int] = {}
        for i, name in enumerate(named):
            if name:
                self._parent[i] = first_of.setdefault(name, i)

    def first(self, i: int) -> int:
        """The representative of a call's set: the first of its calls, for sets without a name."""
        parent = self._parent
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    def name(self, i: int) -> str:
        return self._name[self.first(i)]

    def is_alone(self, i: int) -> bool:
        return self.linked_by[i] == "none" and not self._name[self.first(i)]

    def join(self, i: int, j: int, by: LinkedBy) -> None:
        a, b = self.first(i), self.first(j)
        if a != b:
            if self._name[a] and self._name[b]:
                return
            if self._position[b] < self._position[a]:
                a, b = b, a
            self._parent[b] = a
            self._name[a] = self._name[a] or self._name[b]
        for call in (i, j):
            if self.linked_by[call] == "none" or by == "history":
                self.linked_by[call] = by


def _content(message: Message) -> bytes:
    """The content of a message without ids, white space at the ends and the layout of its JSON."""
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if isinstance(content, str) and not calls:
        text = content.strip()
        return f"{role}\0{len(text)}\0{text}".encode("utf-8", "surrogatepass")
    text = text_of(message).strip()
    parts = [f"{role}\0{len(text)}\0{text}"]
    if isinstance(content, list):  # images and files
        parts += [_canonical(part) for part in content if isinstance(part, dict) and "text" not in part]
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            parts += [str(function.get("name")), _canonical(function.get("arguments"))]
    return _utf8("\0".join(parts))


def _canonical(arguments: Any) -> str:
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return str(arguments).strip()
    try:
        return msgspec.json.encode(arguments, order="sorted").decode()
    except (TypeError, ValueError, UnicodeEncodeError):
        return str(arguments)


def _tool_ids(message: Message) -> list[int]:
    calls = message.get("tool_calls")
    ids = [call.get("id") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    ids.append(message.get("tool_call_id"))
    return [_digest(b"tool" + _utf8(id)) for id in ids if isinstance(id, str) and id]


def _earlier_response(call: Call) -> list[int]:
    """Keys of the response that a request continues: its id as it stands, and as the gateway's own call ids."""
    id = call.params.get("previous_response_id")
    if not isinstance(id, str) or not id:
        return []
    return [_digest(b"response" + _utf8(one)) for one in (id, id.removeprefix("resp_"))]


def _sessions(call: Call) -> list[int]:
    """Keys of the sessions that a request names."""
    params = call.params
    if not params:
        return []
    metadata = params.get("metadata")
    places = [params, metadata] if isinstance(metadata, dict) else [params]
    names = [(name, place.get(name)) for place in places for name in _SESSION_FIELDS]
    conversation = params.get("conversation")
    names.append(("conversation", conversation.get("id") if isinstance(conversation, dict) else conversation))
    if isinstance(metadata, dict) and "_session_" in str(metadata.get("user_id")):
        names.append(("user_id", metadata["user_id"]))
    return [
        _digest(_utf8(f"{call.tenant}\0{name}\0{value}"))
        for name, value in names
        if value and isinstance(value, str | int)
    ]


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
