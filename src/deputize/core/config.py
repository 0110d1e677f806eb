"""Settings of one home as checked records: values only, no file and no environment is read here (see deputize.home)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

AUDIT_SHARE = 0.02
"""The share of served calls that the gateway audits where its settings say nothing."""
CROSS_FITTED = frozenset({"auto", "cache", "linear", "tools", "listed", "frozen", "frozen_base"})
"""Methods that choices can be made of by cross-fitting on train, and the name that stands for some of them."""


class Convert(BaseModel):
    """Settings of one run, from curation to evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ("SmolLM2-135M-Instruct",)
    """Base models that may be tuned, by their names in the catalogue (`deputize models list`); auto: of those that are
    fetched and may and can run here the three most promising for the log's answers. Of several a race on the task's
    own calls decides."""
    licence_conditions: tuple[str, ...] = ("notice", "use-policy", "naming", "user-limit", "unknown")
    """Conditions of models' licences that you accept (`deputize models show NAME` says what a licence asks). Others
    there are: revenue-limit (companies above a yearly revenue need a licence), non-commercial."""
    tool_formats: tuple[str, ...] = ()
    """Forms of tool calls, as `deputize models show` names them, of which a model must know one to be tuned for a
    task that calls tools.
    Empty: any model, since the answers of a specialist are held to its schema anyway."""
    encoder: str = "all-MiniLM-L6-v2"
    """Text encoder whose states the method "frozen" reads where it has been fetched; else it reads the base model's."""
    methods: tuple[str, ...] = ("auto",)
    """Training methods that may be used: cache, linear, tools, listed, frozen, encoder, frozen_base, lora,
    lora_from_head, token_distillation, multitask, listed_lora, rslora, minifinetuning, on_policy_distillation, dora,
    dpo, qlora, full, or an entry point of the group "deputize.methods"; auto is linear, listed, frozen and lora. Of
    these each task gets what is worth training for it, from cheap to expensive."""
    cascades: bool = True
    """Also put each language model or encoder together with the task's linear specialist, which answers alone where
    it is sure, and add it to the best of these where validation says that a further voter pays."""
    epsilon: float = Field(0.05, gt=0, lt=1)
    """The loss that a route may cost at most, over all calls of its task."""
    served_limit: float | None = Field(None, gt=0, lt=1)
    """The loss that it may cost at most among the calls that the specialist answers; None: three times epsilon."""
    error_usd: float | dict[str, float] = 0.0
    """Price in US dollars of a served answer that is not the LLM's: for all tasks, or by the id or name of a task
    ("*": the others). A route is published only where it saves more than that."""
    delta: float = Field(0.05, gt=0, lt=1)
    """The probability with which a certificate may be wrong: each by itself, or all of a run (see scope)."""
    seed: int = Field(0, ge=0)
    """Seed of splits, draws and training."""
    minutes: float = Field(30.0, gt=0)
    """Wall-clock budget of the whole run; training is cut to fit, and evaluation gets 15 % of it at least."""
    min_calls: int = Field(60, ge=1)
    """Tasks with fewer calls are reported, not trained."""
    min_origins: int = Field(2, ge=1)
    """What the calls of fewer distinct origins hold stands nowhere in clear: no template line, label, field or name of
    theirs, and tasks of fewer are neither shown nor trained. A call that does not say who asked counts by its job."""
    share_across_tenants: bool = False
    """One run over the calls of all tenants, whose specialists then answer for all of them. False: a run for each
    tenant, and its specialists answer for that tenant only."""
    audience: dict[str, Literal["code", "human"]] = Field(default_factory=dict)
    """Who reads the replies that declare nothing, code or a person, by the name of a site, "agent/site", an agent, or
    "*": it stands in the table [audience] of config.toml, and in --audience."""
    explore: bool = False
    """Also train tasks whose groups are too few for a certificate at this epsilon and delta, and methods that a
    cheaper one makes unnecessary, to see what would come of it."""
    scope: Literal["per-route", "all-routes"] = "per-route"
    """The claims that delta is for: each by itself, or those of all routes of the run at once (Holm over the tasks
    tested)."""
    reference: Literal["llm", "labels"] = "llm"
    """The answers that a claim is about. llm: the LLM's recorded ones; labels: the right ones, where the log or
    feedback has them for at least twenty calibration calls of
    a task: then the specialist may err more often than the LLM by at most epsilon, instead of differing from it."""
    labels_at_random: bool = False
    """The labelled calls were drawn at random, each call with the same chance (one label per episode is no such draw;
    what shows that is not taken for one). Then they speak for the others too (prediction-powered inference); else
    each call without a label counts against the specialist where its answer is not the LLM's, which is true of
    whatever calls were labelled."""
    renew_after_days: float | None = Field(90.0, gt=0)
    """Age from which a route's certificate has expired: its calls go to the LLM until a later run renews it. None:
    never."""
    renew_after_calls: int | None = Field(100_000, ge=1)
    """Calls of a route after which `deputize watch` says that its certificate must be renewed. None: never."""
    inference_help: tuple[Literal["self_consistency", "verifier", "tools"], ...] = ()
    """What is tried beside each language model that writes its answers, as a method of its own that has to serve more
    of validation.
    self_consistency: eight more answers by chance, and the one that most agree on; verifier: the untuned model is asked
    whether the answer is right; tools: values that are arithmetic on numbers of the prompt are calculated, and those
    that stand in a table looked up (without a language model: method tools)."""
    lookup_tables: tuple[str, ...] = ()
    """CSV files, relative to the home, that tools look values up in; the first line names the columns."""
    hard_examples: bool = False
    """Also train each method with examples counting double that a linear model of other groups gets wrong. It is a
    method of its own ("linear:hard"), and chosen only where it serves more of validation."""
    search_learning_rate: bool = False
    """Try three learning rates for a short while before each training of a base model, and take the one after which
    validation is best. It takes up to 15 % of that training's time."""
    balance: float = Field(0.0, ge=0, le=1)
    """How far rare answers are weighed up in training: 0 as often as they occur, 1 every answer as much as any other."""
    split: tuple[float, float, float, float] | None = None
    """Shares of train, validation, calibration, test, by group; None: calibration gets what the test needs, train the
    rest."""
    privacy: Literal["standard", "strict", "paraphrase", "paranoid"] = "standard"
    """standard: what points at one person, and secrets; strict: also places, organisations, health, times;
    paraphrase: beyond that, numeric details, and texts with sensitive terms are reworded where [privacy] paraphraser
    names a model; paranoid: strict, and every word that only few episodes hold is masked."""

    @property
    def may_keep_reserve(self) -> bool:
        """True where a small log may be split into train, reserve, calibration and test: some method can be
        cross-fitted, shares are not set by hand, and no labels, whose draw is checked on validation, are claimed
        about."""
        return self.split is None and self.reference != "labels" and bool(CROSS_FITTED & {*self.methods})

    @property
    def limit_among_served(self) -> float | None:
        """The loss allowed among the served calls; None where three times epsilon allows any."""
        return self.served_limit_at(self.epsilon)

    def served_limit_at(self, epsilon: float) -> float | None:
        """The same for another epsilon."""
        limit = self.served_limit if self.served_limit is not None else 3 * epsilon
        return limit if limit < 1 else None

    def error_usd_of(self, *names: str) -> float:
        """The price of a wrong answer of a task, by its id or name."""
        if isinstance(self.error_usd, dict):
            found = next((self.error_usd[name] for name in names if name in self.error_usd), None)
            return found if found is not None else self.error_usd.get("*", 0.0)
        return self.error_usd


class Privacy(BaseModel):
    """`[privacy]` of HOME/config.toml: what looks for personal data besides the standard detectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tagger: str = ""
    """A tagger trained with `privacy train`: its number in the home, or its folder; "": the newest, or the one of the
    package where there is none; "default": the one of the package; "none": none."""
    detectors: tuple[str, ...] = ()
    """Names as privacy.detectors.registry.make_detector takes them: credsweeper, hub:MODEL, gliner:MODEL, an entry
    point, module:attribute."""
    sensitive: tuple[str, ...] = ()
    """What else is sensitive in this application: terms, `re:PATTERN`, `field:NAME`. Replaced at every level."""
    confirmed: tuple[str, ...] = ()
    """Values that look personal and are the application's own, such as the mail address of its service desk. Not
    replaced."""
    unmeasured: Literal["quarantine", "mask", "keep"] = "mask"
    """What happens to texts in languages in which the recall of personal data has not been measured; the report names
    them.
    mask: words with a capital letter, a digit or an @ (in scripts without case every word) that fewer than ten people
    use are masked;
    quarantine: calls with such words are left out; keep: only what the detectors find is replaced."""
    pseudonyms: Literal["episode", "tenant"] = "episode"
    """A person has one pseudonym within an episode, or in all calls of the tenant, so that the dataset shows what
    belongs to one person. Dates move by person either way."""
    live: Literal["off", "mask"] = "off"
    """mask: LLMs behind the gateway get placeholders (PERSON_1a) for direct identifiers and secrets, and answers get
    the values back. off: requests pass as they are."""
    live_timeout_s: float = Field(30.0, gt=0)
    """Seconds that looking for personal data in one request may take; then it is refused (503) and not sent on."""
    live_attachments: Literal["refuse", "pass"] = "refuse"
    """What happens, while requests are masked, to pictures, sound and files, which no detector reads."""
    paraphraser: dict[str, str] = Field(default_factory=dict)
    """An LLM or SLM that rewords sensitive texts at level "paraphrase": base_url, model, and api_key_env or
    api_key_file if it needs a key. It sees texts after de-identification only."""


class RouteSettings(BaseModel):
    """`[routes]` of HOME/config.toml: how a certified specialist comes into service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Literal["shadow", "canary", "live"] = "shadow"
    """The state in which a newly certified route begins. shadow: the LLM answers every call, and the specialist is
    asked as well; canary: it serves the first share of them; live: it serves all at once."""
    steps: tuple[float, ...] = (0.01, 0.05, 0.25)
    """Shares of a canary, rising."""
    step_delta: float = Field(0.05, gt=0, lt=1)
    """A specialist whose loss is at or above what its certificate allows leaves shadow with at most this probability,
    and a canary for live with at most this one."""
    episode_ends_after_s: float = Field(1800.0, gt=0)
    """Seconds without a compared call after which an episode has ended; divided by the share of the calls that is
    compared, but at most twice as long. Only then it counts for a promotion."""
    shadow_share: float = Field(1.0, gt=0, le=1)
    """Share of a route's calls that its specialist is asked in shadow."""
    challenger_share: float = Field(0.1, gt=0, le=1)
    """Share of the calls on which a challenger in shadow is compared; of those that the present specialist serves, each
    costs a call to the LLM."""
    canary_audit_share: float = Field(1.0, gt=0, le=1)
    """Share of a canary's served calls that are audited; at 1 they cost what the LLM alone would."""
    max_ms: float | dict[str, float] = Field(10_000.0)
    """Milliseconds that a call waits for a route's specialist; then the LLM is asked. For all routes, or by the id of
    a route or the name of its task ("*": the others)."""

    def wait_s(self, *names: str) -> float:
        """Seconds that a call waits for the specialist of a route, by its id or the name of its task."""
        if not isinstance(self.max_ms, dict):
            return self.max_ms / 1e3
        given = next((self.max_ms[name] for name in names if name in self.max_ms), None)
        return (given if given is not None else self.max_ms.get("*", 10_000.0)) / 1e3

    @field_validator("max_ms")
    @classmethod
    def _positive(cls, given: float | dict[str, float]) -> float | dict[str, float]:
        if any(ms <= 0 for ms in (given.values() if isinstance(given, dict) else (given,))):
            raise ValueError("a wait is a positive number of milliseconds")
        return given

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if not steps or list(steps) != sorted(set(steps)) or not 0 < steps[0] <= steps[-1] < 1:
            raise ValueError("steps are shares between 0 and 1, each larger than the one before")
        return steps


class JudgeSettings(BaseModel):
    """`[judge]` of HOME/config.toml: the LLM that judges texts where `deputize tasks measure ID judge` leaves them to
    it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = ""
    """The root of its OpenAI-compatible address; "": there is no judge. It sees requests and answers as they are."""
    model: str = ""
    """Its name there. A judge from another maker than the LLM favours neither's way of writing."""
    api_key_env: str = ""
    """Environment variable with its key."""
    api_key_file: str = ""
    """File with its key, instead of the environment."""
    max_questions: int = Field(2000, ge=2)
    """Questions of one run; a pair of answers takes one or two. Audits are asked beyond that."""


class TeacherSettings(BaseModel):
    """`[teacher]` of HOME/config.toml: a server with OpenAI's completions API and log-probabilities, which scores
    what a specialist in training writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = ""
    """Its address, up to and with /v1; "": there is none, and the method on_policy_distillation cannot be trained. It
    sees de-identified prompts of train, pruned as a specialist reads them, and what the specialist wrote."""
    model: str = ""
    """Its name in requests; empty: the id of each task, under which the server is to have a model of that task."""
    api_key_env: str = ""
    """The variable that holds the server's key; empty: none is sent."""
    max_questions: int = Field(20_000, ge=1)
    """Questions of one training; a question is one place of an answer."""
    budget_usd: float | None = Field(None, gt=0)
    """US dollars of one training, by the price list; None: as many as the questions cost."""
    n_listed: int = Field(20, ge=1)
    """Likeliest tokens asked for at each place; OpenAI's own limit is 5."""
    at_once: int = Field(8, ge=1)
    """Questions that are put at the same time."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return http_address(url)


class StoreSettings(BaseModel):
    """`[store]` of HOME/config.toml: which kind of store keeps the calls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "sqlite"
    """sqlite, postgres, memory, the name of an entry point of the group "deputize.stores", or module:attribute."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Settings of that kind, for example an address; see its documentation."""


class ObjectsSettings(BaseModel):
    """`[objects]` of HOME/config.toml: where homes with the same keys share routes, API keys, specialists and runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = ""
    """s3://BUCKET/FOLDER, gs://BUCKET/FOLDER (both with the extra "cloud") or file:///FOLDER; "": this home shares
    nothing. Credentials and endpoints come from the environment, as the cloud's own tools read them."""
    poll_s: float = Field(0.5, gt=0, le=1)
    """Seconds between looks of a gateway at the pointer."""
    max_age_s: float = Field(10.0, gt=0)
    """A gateway that could not read the pointer for longer serves by no specialist: the LLM answers."""
    keys_max_age_s: float = Field(300.0, gt=0)
    """A gateway that could not read the pointer for longer takes no API key (503)."""
    runs: bool = True
    """Runs are shared too when they end: report, settings and sealed artifacts (`deputize runs fetch`)."""


class RunnerSettings(BaseModel):
    """`[runner]` of HOME/config.toml: where the work of a conversion is done that is done shard by shard."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["local", "ray"] = "local"
    """local (further processes of this machine) or ray (actors in a Ray cluster)."""
    processes: int | None = Field(None, ge=0)
    """Most workers. None: local: one for each further core, three at most; ray: as many as the cluster has cores for."""
    address: str = ""
    """ray: of the cluster, as in "auto" or "ray://HOST:10001"; empty: one of this machine alone, which ends with the
    command."""
    model_cores: int = Field(1, ge=1)
    """ray: cores of a worker that trains a base model or asks one; it gets a GPU besides where the cluster has some."""


class EngineSettings(BaseModel):
    """`[engine]` of HOME/config.toml: what answers for specialists. Those that write no text answer in the worker
    process with any kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "local"
    """local (transformers in the worker process), llamacpp (llama.cpp there), vllm (a vLLM server that the worker
    starts, or base_url), openai (a server with OpenAI's completions API and log-probabilities at base_url), or an
    entry point of the group "deputize.engines"."""
    precision: Literal["f16", "bf16", "f32", "q8_0"] = "f16"
    """llamacpp: of the matrices of a model."""
    threads: int = Field(0, ge=0)
    """llamacpp: of the processor; 0: as many as are fastest, measured once the worker has started."""
    base_url: str = ""
    """openai, vllm: the address up to and with /v1. vllm, empty: the worker starts a server of its own."""
    api_key_env: str = ""
    """openai, vllm: the variable that holds the server's key; empty: none is sent."""
    model: str = ""
    """openai: the name of the model in requests; empty: the id of each specialist, under which the server is to have
    it."""
    served_precision: str = ""
    """openai: the precision of the weights there, for certificates; a server does not tell."""
    constraint: Literal["none", "grammar", "pattern"] = "none"
    """openai: what keeps answers in their schema. grammar: llama.cpp's field of that name; pattern: vLLM's
    structured_outputs;
    none: answers outside the schema go to the LLM."""
    prompt: Literal["tokens", "text"] = "tokens"
    """openai: how prompts are sent. The text is cut into tokens by the server."""
    at_once: int = Field(8, ge=1)
    """openai, vllm: answers that are asked for at the same time."""
    command: tuple[str, ...] = ("vllm",)
    """vllm: the program that is started, as in ["/opt/vllm/bin/vllm"]."""
    options: tuple[str, ...] = ()
    """vllm: further options of `vllm serve`."""
    start_s: float = Field(600.0, gt=0)
    """vllm: how long a server that is started may take until it answers."""
    max_loaded: int = Field(64, ge=1)
    """Most specialists that are kept loaded; a further one is loaded when it is first asked, and the longest unused
    one goes. Counted separately for those that answer in a millisecond, those with a model, and those that are
    written elsewhere."""
    max_loaded_mb: float = Field(0.0, ge=0)
    """Most megabytes that they hold, by the size of their files; a base model that several share stays. 0: no such
    limit."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return http_address(url)

    @model_validator(mode="after")
    def _has_address(self) -> EngineSettings:
        if self.kind == "openai" and not self.base_url:
            raise ValueError("the engine openai needs base_url, the address of its server")
        return self


class ServingSettings(BaseModel):
    """`[serving]` of HOME/config.toml: machines that answer for specialists in the place of this one (`deputize
    specialists serve`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = ()
    """Their addresses, as in http://10.0.0.7:8795; a name with several IP addresses is several hosts, and is looked
    up again every ten seconds. Empty: specialists answer on this machine. They have homes with the same keys as this
    one."""
    check_s: float = Field(2.0, gt=0)
    """Seconds between two looks at a host that is well. One that fails is looked at again at once, then ever more
    rarely, at most every 30 s."""
    check_timeout_s: float = Field(1.0, gt=0)
    """A host that does not say within this time that it is there is left out until it does."""
    hedge_ms: float = Field(0.0, ge=0)
    """Milliseconds after which a second host is asked the same, and the first answer counts; 0: never. It costs the
    second host's time."""

    @field_validator("hosts")
    @classmethod
    def _addresses(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        found = tuple(http_address(url) for url in hosts)
        if "" in found or len(set(found)) != len(found):
            raise ValueError("each host is one address, once")
        return found


def http_address(url: str) -> str:
    """An address without a slash at its end; "" stays. Raises ValueError where it is none."""
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("an address begins with http:// or https://")
    return url.rstrip("/")


def sentence(error: ValidationError) -> str:
    """A pydantic error as one sentence per wrong setting."""
    rows = (
        f"{'.'.join(map(str, e['loc'])) or 'value'}: {demand(e['type'], e['msg'])} (given: {e['input']!r})"
        for e in error.errors()
    )
    return "; ".join(rows)


def demand(kind: str, message: str) -> str:
    """The demand on a setting that an error of pydantic's is about, in the words of config.toml.

    Args:
        kind: the error's type.
        message: its message.
    """
    if kind == "extra_forbidden":
        return "there is no setting of this name; `deputize config check` proposes one"
    if kind in ("tuple_type", "list_type"):
        return 'must be a list, such as ["a", "b"]'
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
