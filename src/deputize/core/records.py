"""Records that are stored and passed on: frozen, versioned, with a JSON round trip (msgspec). They know no file and no vendor."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar, dataclass_transform

import msgspec

from deputize.core.episode_bet import EpisodeBet
from deputize.core.judging import JudgeEvidence
from deputize.core.label_evidence import LabelEvidence
from deputize.core.shadow_plan import ShadowPlan
from deputize.core.text_measures import TextMeasure

RECORD_VERSION = 1

Message: TypeAlias = dict[str, Any]
"""One chat message in OpenAI's format: role, content (str, list of parts or None), tool_calls, tool_call_id, name."""
Answer: TypeAlias = Any
"""A reply in canonical form (core.contracts): str (label, text, DEFER), dict (json), list of {"name", "arguments"}."""

Audience = Literal["human", "code", "unknown"]
Split = Literal["train", "validation", "reserve", "calibration", "test", ""]  # reserve: of a small log
Kind = Literal["label", "json", "tool_call", "text"]
FieldType = Literal["label", "value", "free"]
RouteState = Literal["closed", "shadow", "canary", "live", "rolled_back"]

DEFAULT_TENANT = "default"  # the tenant of calls that come without an API key
EVERY_TENANT = "*"  # in the place of a tenant: all of them


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all records."""


R = TypeVar("R", bound=Record)


def encode(record: Record) -> bytes:
    """The record as one line of JSON (no newline)."""
    return msgspec.json.encode(record)


def decode(data: bytes | str, kind: type[R]) -> R:
    """A record from its JSON. Raises msgspec.ValidationError / DecodeError when the bytes are not one."""
    return msgspec.json.decode(data, type=kind, strict=False)


class Usage(Record):
    """Tokens of one call as the provider counts them."""

    prompt_tokens: int = 0  # all of the prompt, those of a cache included
    completion_tokens: int = 0
    cached_tokens: int = 0  # of the prompt's: read from the provider's cache
    cache_write_tokens: int = 0  # of the prompt's: written to the provider's cache
    reasoning_tokens: int = 0
    estimated: bool = False  # true where we counted because the upstream sent none


class Outcome(Record):
    """The outcome of the agent's run that a call belonged to."""

    reward: float | None = None
    success: bool | None = None
    metric: str = ""


class ChallengerAnswer(Record):
    """The answer of a specialist that may replace the one of a route, to a call that the LLM answered as well."""

    specialist: str
    confidence: float
    agrees: bool
    """Its answer and the LLM's agree."""
    deferred: bool = False
    """It left the call to the LLM, so that nothing of it would have been served."""
    latency_ms: float = 0.0


class Decision(Record):
    """Which model answered a call, and why."""

    served_by: Literal["llm", "slm"] = "llm"
    reason: str = ""
    """A `DecisionReason`; "" where nobody decided (imported calls)."""
    route_id: str = ""
    confidence: float | None = None
    certificate_id: str = ""
    """The certificate that an answer was served under; "" for an LLM's answer and for one that an override asked for."""
    specialist: str = ""
    """Folder of the specialist that was asked, or might not be asked because of the request, relative to the home; else ""."""
    specialist_ms: float | None = None
    shadow_agrees: bool | None = None
    """True where specialist and LLM agree; False also where the LLM's answer breaks the contract. None: not both answered."""
    repeat_agrees: bool | None = None
    """True where the LLM, asked a second time for an audit, agrees with itself; None where it was not."""
    deferred: bool = False
    """In shadow: the specialist left the call to the LLM, so that nothing of it would have been served."""
    audit_share: float | None = None
    """The share of its served calls that were audited then; None: it served nothing, or the caller chose the model."""
    audit_of: str = ""
    """Of an audit: id of the call that a specialist answered."""
    challenger: ChallengerAnswer | None = None
    """The answer of a challenger in shadow; None where there is none, or this call was not compared."""


class Request(Record):
    """The part of a call that a specialist and the router read."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: Any = None
    agent: str = ""
    site: str = ""


class Call(Record):
    """One request to a language model and its reply."""

    id: str
    messages: list[Message]
    response: Message
    """The assistant message: content and / or tool_calls. {} when the call failed or was cut before any output."""
    episode: str = ""
    """One run of the agent. Empty: the call stands alone and is its own episode."""
    group: str = ""
    """The unit that is never divided among splits: the task id where several episodes try the same job, else the episode."""
    step: int = 0
    agent: str = ""
    site: str = ""
    """The place in the agent that made the call, where the caller says so; otherwise inferred."""
    model: str = ""
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: Any = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    """Sampling settings and every other request field, as sent."""
    audience: Audience = "unknown"
    """The audience that the caller declared (header or importer). The inferred one is in SiteInference."""
    origin: str = ""  # HMAC pseudonym of who asked; never the raw id
    tenant: str = DEFAULT_TENANT
    outcome: Outcome | None = None
    correction: Message | None = None
    """The right answer where the log has one or somebody has given it (feedback); None otherwise, and in what the gateway records."""
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    timestamp: float | None = None
    """Unix seconds at arrival; None where the log has none."""
    status: int = 200
    aborted: bool = False
    finish_reason: str = ""
    upstream: str = ""
    response_id: str = ""
    """The id by which a later request can refer to the answer (`previous_response_id`); "" where it cannot."""
    protocol: str = "chat"
    logprobs: Any = None
    decision: Decision | None = None
    shadow_response: Message | None = None
    """The answer of a specialist in shadow where it differs from `response`."""
    source: str = ""
    recorded: Literal["full", "metadata"] = "full"
    """metadata: it is without its texts, by its own wish or a policy's; never trained on."""
    masked: bool = False
    """The LLM got placeholders for personal values, which are put back in `response`."""
    version: int = RECORD_VERSION

    def request(self) -> Request:
        """The request that a specialist would have been asked."""
        return Request(
            messages=self.messages,
            tools=self.tools,
            response_format=self.response_format,
            tool_choice=self.tool_choice,
            agent=self.agent,
            site=self.site,
        )


class Example(Record):
    """A de-identified call for training or measurement, with its split."""

    call_id: str
    request: Request
    response: Message
    """The teacher's assistant message, de-identified. Of a human-directed reply at a mixed site the answer is DEFER."""
    audience: Audience
    site: str
    episode: str
    group: str
    model: str = ""
    """The LLM that gave the recorded answer, as the log names it: its price is looked up by this name."""
    origin: str = ""
    tenant: str = DEFAULT_TENANT
    split: Split = ""
    trainable: bool = True
    """False: of train or validation, but not to be trained on (failed episode, duplicate, bad label), for `drop_reason`."""
    drop_reason: str = ""
    weight: float = 1.0
    """One plus the number of dropped duplicates that this example stands for."""
    outcome: Outcome | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    timestamp: float | None = None
    repeated: list[str] = msgspec.field(default_factory=list)
    """Ids of other calls with the same request (repeated samples of the LLM); empty where it was asked once."""
    logprobs: list[list[tuple[str, float]]] = msgspec.field(default_factory=list)
    """Per token of the reply the likeliest tokens with their log-probability, the written one first; [] where not logged or not clean."""
    answered_by: str = ""
    """The LLMs whose answer is in the place of the logged one, by `dataset relabel`; "" for the logged answer. Only in train."""
    made_from: str = ""  # of a synthetic example: the call of train that an LLM made it up from
    training_only: bool = False
    """Of train, and one of more calls than a sample with the composition of the traffic has."""
    version: int = RECORD_VERSION

    @property
    def subject(self) -> str:
        """Whose data it is, as far as the log says: the origin, else the job or run that it belongs to."""
        return self.origin or self.group or self.episode or self.call_id


class Field(Record):
    """One field of a JSON reply."""

    name: str
    type: FieldType
    """label: a closed set, compared with white space folded; value: compared exactly; free: prose, written but not compared."""
    labels: list[Any] = msgspec.field(default_factory=list)
    optional: bool = False
    by_hand: bool = False
    """A person set the type, or the measure."""
    measure: TextMeasure | None = None


class Contract(Record):
    """The answer schema of a task, so that code can check replies."""

    kind: Kind
    labels: list[str] = msgspec.field(default_factory=list)
    """kind "label": every reply seen, as text."""
    fields: list[Field] = msgspec.field(default_factory=list)
    """kind "json": the fields in the teacher's order."""
    tools: list[str] = msgspec.field(default_factory=list)
    may_defer: bool = False
    """A mixed site: DEFER (the LLM answers this call) is one of the answers."""
    fence: str = ""
    """kind "json": the line that opens the Markdown fence around the replies, "```json" or "```"; "": they have none."""
    from_request: bool = False
    """The tools (kind tool_call), or the fields (kind json), are those that each request itself lists."""
    content: str = ""
    """kind "tool_call": the text that is next to the tool calls, the same in every reply; "": none does."""
    measure: TextMeasure | None = None
    """kind "text": the closeness from which two replies agree; None: character by character. A field's measure likewise."""

    @property
    def uncompared(self) -> list[str]:
        """Names of the fields that no comparison looks at, so that no certificate is about them."""
        return [f.name for f in self.fields if f.type == "free"]


class PromptRecipe(Record):
    """The rule by which a request becomes the short prompt of a specialist: the constant part is left out."""

    mode: Literal["slots", "dialogue"] = "slots"
    """slots: what varies in the messages; dialogue: a digest of a multi-turn agent run."""
    constant_lines: list[str] = msgspec.field(default_factory=list)
    """Normalised lines that recur in (nearly) every call of the task."""
    heads: list[str] = msgspec.field(default_factory=list)
    """`Label:` heads whose value varies: the head is shortened or kept, the value is read."""
    with_list: bool = False
    """The tools or the reply schema of the request come last, in compact form (core.listed_tools)."""
    opening: str = ""  # a line before the prompt: by it an adapter of several tasks tells them apart
    max_chars: int = 4000
    version: int = RECORD_VERSION


class Task(Record):
    """A cluster of calls that one specialist could serve."""

    id: str
    name: str
    contract: Contract
    recipe: PromptRecipe
    keys: list[str]
    """Template keys (core.template_key) of the requests that belong to it."""
    tenant: str = DEFAULT_TENANT
    """Whose calls they are, and whom a specialist of it may serve; "*": all tenants share it."""
    site: str = ""
    n_calls: int = 0
    n_episodes: int = 0
    n_origins: int = 0
    signature: str = ""
    template: str = ""
    """The constant lines as a person would read them, slots shown as ⟨…⟩."""
    hidden: bool = False
    """A person hid it: reported, never trained or routed."""
    version: int = RECORD_VERSION


class Prediction(Record):
    """A specialist's answer to one request."""

    answer: Answer
    """Canonical; None when the specialist could not produce one that keeps the contract."""
    confidence: float
    """In [0, 1]; 0 when answer is None or the request is out of distribution."""
    out_of_distribution: bool = False
    """The request is unlike those that the specialist was trained on."""
    n_prompt_tokens: int = 0
    """Tokens of the short prompt that the specialist read, by its own tokenizer; words and signs where it has none."""
    n_output_tokens: int = 0  # of the answer, counted in the same way
    latency_ms: float = 0.0
    engine: str = ""
    """What answered, with the precision of its weights (`Certificate.engine`)."""


class RequestLimits(Record):
    """The requests that a certificate speaks of, as seen in calibration; any other goes to the LLM (router.request_limits)."""

    models: list[str] = msgspec.field(default_factory=list)
    """Empty: the log did not name its models. Only "": the calls of too few data subjects agree, so no request is within."""
    sites: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Pairs (agent, site) as callers name them. Empty: nothing is known of callers that name themselves."""
    ranges: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    """temperature and top_p: least and greatest; 1 where they are not in it."""
    values: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Any other parameter -> its values; "": left out. A parameter that is not in it must be left out."""
    varying: list[str] = msgspec.field(default_factory=list)
    """Parameters whose value differs from call to call: any value will do."""
    max_tokens: list[str] = msgspec.field(default_factory=list)
    """Limits of the answer's length that requests gave; "": left out."""
    enough_tokens: int | None = 0
    """Tokens of the longest answer: a higher limit changes nothing. None: answers were cut, so only `max_tokens` will do."""
    may_lack_text: bool = False
    """There were requests without text in the last message of the user, or without a message of the user."""
    listed: list[str] | None = None
    """Digests of listed tools and reply schemas that were in training; with another one the LLM answers. None: any will do."""
    votes: bool = False
    """Requests were asked repeatedly at a temperature, to count the answers: only at temperature 0 is one as good."""


class Certificate(Record):
    """The claim about a route, and the numbers behind it (docs/concepts/certificates.md)."""

    id: str
    """Its id; a specialist trained again gets another one."""
    kind: str
    """not_worse_than_llm, not_worse_than_repeats, not_worse_on_labels or not_worse_by_judge (scoring.certificates)."""
    epsilon: float
    """The loss that the claim allows, over all calls of the task."""
    delta: float
    """The probability with which the claim may be false, other tests on the same groups included."""
    n_calibration: int
    """Units: independent calls, one random one of a group; or, where whole episodes were tested, all their calls."""
    threshold: float
    """The confidence from which the specialist answers."""
    share_served: float
    """Of the calibration calls meant for code, served at the threshold."""
    p_value: float
    """Of the claim at that threshold."""
    claim: str
    """The sentence a reader may quote."""
    n_served: int = 0
    """Units that would be served."""
    n_errors: int = 0
    """Of them, answered otherwise than the LLM did."""
    uncompared: list[str] = msgspec.field(default_factory=list)
    """Fields of the reply that the claim is not about."""
    test_level: float = 0.0
    """The part of delta that this test was done at."""
    n_together: int = 0
    """Tasks whose claims hold at once with probability 1 - delta; 0 where each holds by itself."""
    created_s: float = 0.0
    """When it was made, in Unix seconds; 0: not known."""
    renew_after_days: float | None = None
    """Age from which its route goes to the LLM until it is renewed; None: never."""
    renew_after_calls: int | None = None
    """Calls of the route after which `deputize watch` says that it must be renewed; None: never."""
    served_limit: float | None = None
    """The loss among the served calls that the claim allows as well; None: it speaks of all calls only."""
    linked_by: str = ""
    """What tells its units apart: header (the log names episodes), history (histories, sessions, times), none (nothing)."""
    n_people: int = 0
    """People who asked, where few are behind many groups; 0 where they are many or the log does not say."""
    limits: RequestLimits = RequestLimits()
    """The requests that the claim is about."""
    ood_power: float | None = None
    """Share of requests unlike those trained on that its detector notices, simulated (EvaluationFacts.ood_detector); None: no detector."""
    ood_given_up: float | None = None
    """Share of the calibration calls that the detector takes for such requests; None: it has no detector."""
    labels: LabelEvidence | None = None
    """Where the claim is about right answers: what is known of them; None: it is about the LLM's answers."""
    judge: JudgeEvidence | None = None
    """Who judged the answers and how well; None: they were compared. A judged certificate is a tier of its own."""
    episodes: EpisodeBet | None = None
    """Where whole episodes were tested, how; None: one call of each."""
    n_unseen: int = 0
    """Units that list what was not in training, where the claim is about such requests too."""
    engine: str = ""
    """The engine that it was measured on, with the precision of its weights; on another one the LLM answers. "": any."""
    version: int = RECORD_VERSION
    """Schema version."""


class Route(Record):
    """From template keys to a specialist, with the threshold its certificate allows."""

    id: str
    task_id: str
    task_name: str
    keys: list[str]
    contract: Contract
    specialist: str
    """Folder of the specialist, relative to the home."""
    threshold: float
    card_sha256: str = ""
    """Of the specialist's card when the route was published: with another one the LLM answers. "": not pinned."""
    state: RouteState = "closed"
    share: float = 1.0  # Canary share in [0, 1]; 1 when live
    shadow: ShadowPlan | None = None
    """In shadow: the limits that a person has set; None: the settings'."""
    certificate: Certificate | None = None
    median_prompt_tokens_before: int = 0
    median_prompt_tokens_after: int = 0
    run_id: str = ""
    """The run whose key spaces its keys are of, where an earlier route was kept; "": the run of the file."""
    tenant: str = DEFAULT_TENANT
    """Whose calls its specialist was trained on, and whose it may answer; "*": shared by all tenants."""


class BranchClassifier(Record):
    """A linear classifier over the words of a request that separates the tasks of one template."""

    branches: list[str]
    """Suffixes of the template key, one per task."""
    weights: dict[str, list[float]]
    """Word or pair of words -> its weight for each branch."""
    bias: list[float]
    margin: float
    """The lead that the best branch needs over the second; with less the request belongs to no task."""


class TextLimits(Record):
    """The most that calls with one template key had of what varies in a text (core.prompt_limits)."""

    n_unknown: list[int] = msgspec.field(default_factory=list)
    """Unknown segments before the first known segment, then after each."""
    n_repeats: list[int] = msgspec.field(default_factory=list)
    """How often each known segment is in the text."""
    n_new_words: list[int | None] = msgspec.field(default_factory=list)
    """For each of these places, words of one varying segment that calls did not share; None: any number, as in free text."""
    instructions: dict[str, int] | None = None
    """Sign of an instruction in what varies -> how often; another one may not stand there. None: calls differ too much to say."""
    n_instructions: int | None = None
    """Of those signs all together, where `instructions` is None; None: any number."""


class PromptLimits(Record):
    """The limits of what varies in prompts with one template key."""

    system: TextLimits = TextLimits()
    user: TextLimits = TextLimits()
    vocabulary: list[str] = msgspec.field(default_factory=list)
    """Words that several subjects' calls share in what varies; empty where no limit needs them."""


class KeySpace(Record):
    """The lines and heads from which requests of one structural signature get their template key."""

    signature: str
    tenant: str = DEFAULT_TENANT
    """Whose calls its lines are of; the template keys of two tenants differ."""
    lines: list[str] = msgspec.field(default_factory=list)
    """Recurring lines of this signature group, normalised where they vary; those present in a request are its key."""
    heads: list[str] = msgspec.field(default_factory=list)
    """`Label:` heads that stand for a line whose value varies."""
    prompt_limits: dict[str, PromptLimits] = msgspec.field(default_factory=dict)
    """Template key -> the limits of what varies in its prompts; beyond them the template has changed."""
    branch_classifiers: dict[str, BranchClassifier] = msgspec.field(default_factory=dict)
    """Template key -> the classifier that separates the tasks that share it."""


class RouteFile(Record):
    """Everything the gateway needs to decide; replaced as a whole, atomically."""

    run_id: str
    keyspaces: list[KeySpace] = msgspec.field(default_factory=list)
    kept_keyspaces: dict[str, list[KeySpace]] = msgspec.field(default_factory=dict)
    """Run id -> key spaces of the routes that were kept from that run."""
    routes: list[Route] = msgspec.field(default_factory=list)
    challengers: list[Route] = msgspec.field(default_factory=list)
    """New specialists in shadow or canary, each for a task that a route of `routes` serves meanwhile; with its id."""
    previous: list[Route] = msgspec.field(default_factory=list)
    """The version before the present one of a route, with its id, for one step back."""
    version: int = RECORD_VERSION
    generation: int = 0
