"""Agents of one's own: what they see and send, and that others stay as they are."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_agents import Batches, Faulty, Gambler, Idle, WickBuyer, trades_with
from worlds import SMALL

import flashwick as fw
from flashwick.engine import simulation
from flashwick.engine.chance import Stream
from flashwick.engine.own import Agent, AgentError
from flashwick.engine.store import event_fingerprint, fingerprint
from flashwick.orderbook.orders import Reason

PATH = str(Path(__file__).parents[1] / "scenarios" / "small-crash.toml")


@pytest.fixture(scope="module")
def run() -> fw.Run:
    """A run with a buyer of wicks."""
    return SMALL.run(seed=1, agents=[WickBuyer()])


def buyer(run: fw.Run) -> WickBuyer:
    """The agent as it ended."""
    agent = run.agents["wick-buyer"]
    assert isinstance(agent, WickBuyer)
    return agent


def test_its_bids_are_hit_and_its_fills_reach_it(run: fw.Run) -> None:
    """What it was told of is what the trades say."""
    agent = buyer(run)
    trades = run.trades("ATOM/USDT").to_pylist()
    name = "agent wick-buyer"
    own = [t for t in trades if name in (t["maker"], t["taker"])]
    assert len(own) > 2
    assert [(f.time, f.price, f.qty, f.event) for f in agent.fills] == [
        (t["time"], t["price"], t["qty"], t["event"]) for t in own
    ]
    assert {f.side for f in agent.fills if f.maker} >= {"buy"}


def test_its_money_is_real(run: fw.Run) -> None:
    """What it holds at the end is its deposit and its trades, less fees."""
    agent = buyer(run)
    signs = [1 if fill.side == "buy" else -1 for fill in agent.fills]
    pairs = list(zip(signs, agent.fills, strict=True))
    volume = sum(f.price * f.qty for f in agent.fills)
    dollars = 90_000 - sum(sign * f.price * f.qty for sign, f in pairs)
    coins = sum(sign * f.qty for sign, f in pairs)
    assert volume > 10_000
    assert agent.balances["USDT"] == pytest.approx(dollars, abs=0.002 * volume)
    held = agent.balances.get("ATOM", 0.0)
    assert held == pytest.approx(coins, abs=0.002 * volume)
    assert run.outcome["conserved"] == 1.0


def test_orders_have_the_fill_as_their_cause(run: fw.Run) -> None:
    """What it sends of its own accord is a root."""
    agent = buyer(run)
    account = agent.fills[0].account
    ids, rows, _ = run.log.messages()
    own = rows[rows["account"] == account]
    bids, offers = own[own["side"] == 0], own[own["side"] == 1]
    assert bids["cause"].tolist() == [0, 0, 0]
    bought = [f.event for f in agent.fills if f.side == "buy"]
    assert offers["cause"].tolist() == bought
    chain = [event.kind for event in run.log.chain(int(ids[rows["cause"] > 0][0]))]
    assert chain[-1] in ("shock", "order", "index")


def test_messages_have_the_latency_of_the_class_it_is_like() -> None:
    """Makers are 2 ms away in this scenario, background flow 100 ms."""
    served = {}
    for like in ("market_makers", "background"):
        log = SMALL.run(agents=[WickBuyer(like=like)]).log
        _, rows, _ = log.messages()
        served[like] = int(rows["time"][rows["account"] == rows["account"].max()][0])
    assert 1e6 < served["market_makers"] < 2e7  # behind the makers' first quotes
    assert 3e7 < served["background"] < 3e8


def test_it_wakes_at_its_interval_and_when_it_asks_to() -> None:
    """The start comes first, then each interval."""
    assert buyer(SMALL.run(agents=[WickBuyer(interval=8.0)])).wakes == [
        8,
        16,
        24,
        32,
        40,
    ]
    assert buyer(SMALL.run(agents=[WickBuyer(interval=None)])).wakes == []


def test_batches_and_cancels_of_its_own() -> None:
    """Orders in ticks and lots rest; it sees them in units, and cancels them."""
    agent: Any = SMALL.run(agents=[Batches()]).agents["Batches"]
    assert agent.seen == [[0.9, 1.0], [0.9], []]


def test_presence_leaves_the_draws_of_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody draws the same numbers, whether or not an agent idles beside them."""
    drawn: dict[str, list[float]] = {}

    class Recorded(Stream):
        def __init__(self, seed: int, name: str) -> None:
            super().__init__(seed, name)
            self.told = drawn.setdefault(name, [])

        def uniform(self, n: int) -> np.ndarray:
            numbers = super().uniform(n)
            self.told += numbers.tolist()
            return numbers

    monkeypatch.setattr(simulation, "Stream", Recorded)
    without = SMALL.run(seed=3)
    before, drawn = drawn, {}
    with_two = SMALL.run(seed=3, agents=[Idle(), Gambler()])
    own = {name for name in drawn if "agents." in name}
    assert any(name.startswith("agents.Gambler") for name in own)
    for name in before.keys() & drawn.keys():
        shared = min(len(before[name]), len(drawn[name]))
        assert before[name][:shared] == drawn[name][:shared]
    assert len(with_two.prints.time) != len(without.prints.time)


def test_an_idle_agent_changes_no_trade() -> None:
    """Nor any event: nothing hangs on the number of accounts."""
    alone, beside = SMALL.run(seed=3), SMALL.run(seed=3, agents=[Idle()])
    assert fingerprint(alone) == fingerprint(beside)
    assert event_fingerprint(alone) == event_fingerprint(beside)
    assert beside.names.account_class[-1] == beside.names.classes.index("agents")


def test_the_same_seed_gives_the_same_run_and_the_given_agent_stays_as_it_was() -> None:
    """A run works on a copy, which is in the run when it is over."""
    agent = WickBuyer()
    runs = [SMALL.run(seed=2, agents=[agent]) for _ in range(2)]
    assert fingerprint(runs[0]) == fingerprint(runs[1])
    assert agent.fills == []
    assert buyer(runs[0]).fills == buyer(runs[1]).fills != []


def test_agents_of_a_module_run_in_other_processes() -> None:
    """A spawned process imports the class and gives the same trades."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(trades_with, PATH, 1).result(timeout=120)
    assert there == trades_with(PATH, 1)
    assert isinstance(pickle.loads(pickle.dumps(WickBuyer())), WickBuyer)


def test_a_simulation_with_agents_is_forked() -> None:
    """The branch goes on like its parent, agents included."""
    agents = [WickBuyer(), Gambler()]
    parent = SMALL.start(seed=1, agents=agents).run(until=20.0)
    branch = parent.fork()
    runs = [branch.finish(), parent.finish(), SMALL.run(seed=1, agents=agents)]
    assert len({fingerprint(run) for run in runs}) == 1
    fills = [buyer(run).fills for run in runs]
    assert fills[0] == fills[1] == fills[2] != []


def test_agents_of_a_scenario_are_in_each_of_its_runs() -> None:
    """In sweeps too, which run in other processes."""
    joined = SMALL.with_agents([WickBuyer()])
    assert repr(joined) == "<Scenario small-crash, with wick-buyer>"
    run = joined.run(seed=1)
    assert fingerprint(run) == fingerprint(SMALL.run(seed=1, agents=[WickBuyer()]))
    changes = {"oracles.WBETH.policy": "redemption"}
    assert joined.vary(changes).run(seed=1).agents.keys() == {"wick-buyer"}
    found = fw.sweep(joined, seeds=[1, 2], measures=["trades"], jobs=2)
    trades = [len(joined.run(seed=seed).prints.time) for seed in (1, 2)]
    assert found.table["trades"].to_pylist() == trades
    with pytest.raises(AgentError, match="two agents are called 'wick-buyer'"):
        joined.run(agents=[WickBuyer()])


def test_agent_of_a_notebook_is_refused_before_processes_start() -> None:
    """They could not import its class; one process alone runs it."""
    kind = type("NotebookBuyer", (Agent,), {"__module__": "__main__"})
    joined = SMALL.with_agents([kind()])
    told = "agent NotebookBuyer is defined in this notebook or script, .*pass jobs=1"
    with pytest.raises(AgentError, match=told):
        fw.sweep(joined, seeds=2, measures=["trades"], jobs=2)
    assert fw.sweep(joined, seeds=[1], measures=["trades"], jobs=1).table["trades"]


def test_an_error_in_its_code_has_its_name_and_the_time() -> None:
    """And the error itself as its cause."""
    text = "agent 'faulty' failed at 3 s in wake(): ZeroDivisionError: division by zero"
    with pytest.raises(AgentError, match="agent 'faulty' failed") as caught:
        SMALL.run(agents=[Faulty()])
    assert str(caught.value) == text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


class Tries(Agent):
    """Does one thing at the start, given as a function of itself."""

    deposits = {"USDT": 10}  # noqa: RUF012

    def __init__(self, what: Any) -> None:
        self.what = what
        self.reasons: list[Reason] = []

    def start(self) -> None:
        """Do it."""
        self.did = self.what(self)

    def refused(self, refusal: fw.Refusal) -> None:
        """Remember why."""
        self.reasons.append(refusal.reason)


def one(agent: Agent, **fields: int) -> Any:
    """A bid of an agent in the books' own units."""
    batch = fw.messages(1)
    batch["account"], batch["market"] = agent.account, agent.markets.index("ATOM/USDT")
    batch["price"], batch["qty"] = 1_000, 100
    for name, value in fields.items():
        batch[name] = value
    return batch


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda a: a.buy("ATOM/USD", 1), "'ATOM/USD' is not a market here"),
        (lambda a: a.buy("ATOM/USDT", float("nan")), "'qty' must be a number"),
        (lambda a: a.buy("ATOM/USDT", -1), "'qty' must be at least 0"),
        (lambda a: a.buy("ATOM/USDT", 1e300), "'qty' must be at least 0 and at most"),
        (lambda a: a.buy("ATOM/USDT", 1, -2), "'price' must be above 0"),
        (lambda a: a.send(one(a, cause=10**12)), "'cause' must be an event up to now"),
        (lambda a: a.send(one(a, cause=-4)), "'cause' must be an event up to now"),
        (lambda a: a.buy("ATOM/USDT", 1, 1, account=5), "'account' must be one of its"),
        (lambda a: a.buy("ATOM/USDT", 1, 1, tif="GTD"), "'tif' must be one of"),
        (lambda a: a.cancel(99), "order 99 is not one of its own that is open"),
        (lambda a: a.wake_in(0), "'seconds' must be a number above 0"),
        (lambda a: a.wake_in("soon"), "'seconds' must be a number above 0"),
        (lambda a: a.decide(7), "'text' must be what was decided, in words"),
        (lambda a: a.send([1]), "'batch' must be messages"),
        (lambda a: a.send(fw.messages(1)), "'account' must be one of its own"),
        (lambda a: a.submit(1), "'order' must come from limit"),
        (
            lambda a: a.submit(fw.limit(5, "ATOM/USDT", "buy", 1, 1)),
            "'account' must be one of its own",
        ),
    ],
)
def test_wrong_calls_are_told(what: Any, told: str) -> None:
    """With what must be, and what came."""
    with pytest.raises(AgentError, match="failed at 0 s in start") as caught:
        SMALL.run(agents=[Tries(what)])
    assert told in str(caught.value)


def test_less_than_a_lot_is_not_sent_and_prices_go_to_the_passive_side() -> None:
    """A bid goes down to the tick, an offer up; quantities down to the lot."""
    agent: Any = SMALL.run(
        agents=[Tries(lambda a: a.buy("ATOM/USDT", 0.009, 1.0))]
    ).agents["Tries"]
    assert agent.did is False
    log = SMALL.run(agents=[Tries(lambda a: a.buy("ATOM/USDT", 1.019, 1.0019))]).log
    _, rows, _ = log.messages()
    own = rows[rows["account"] == rows["account"].max()]
    assert (own["price"].tolist(), own["qty"].tolist()) == ([1_001], [101])


def test_refusals_reach_it_with_their_reason() -> None:
    """Ten dollars buy no thousand coins."""
    agent: Any = SMALL.run(
        agents=[Tries(lambda a: a.buy("ATOM/USDT", 1_000, 3.0))]
    ).agents["Tries"]
    assert agent.reasons == [Reason.INSUFFICIENT_MARGIN]


def test_nonsense_in_a_batch_is_refused_like_everybodys() -> None:
    """A side that there is not stops no run."""
    batches: list[dict[str, int]] = [{"side": 9}, {"kind": 77}, {"market": 99}]
    for fields in batches:
        agent: Any = SMALL.run(
            agents=[Tries(lambda a, f=fields: a.send(one(a, **f)))]  # type: ignore[misc]
        ).agents["Tries"]
        assert len(agent.reasons) == 1


def test_a_cancel_says_the_side_of_its_order() -> None:
    """So that it is found with the offers when a stream is edited."""

    class Offers(Agent):
        deposits = {"ATOM": 100}  # noqa: RUF012

        def start(self) -> None:
            self.sell("ATOM/USDT", 10, 50.0)

        def wake(self) -> None:
            for row in self.open_orders():
                self.cancel(row["order_id"])

    stream = SMALL.run(agents=[Offers()]).stream()
    own = stream.where(sender="agents", side="sell")
    kinds = stream.table.filter(own)["kind"].to_pylist()
    assert kinds == ["limit", "cancel"]


def test_a_decision_is_the_cause_of_what_follows() -> None:
    """It is an event of the account, with its words."""

    def act(agent: Agent) -> bool:
        agent.decide("buys for a test")
        return agent.buy("ATOM/USDT", 1, 1.0)

    run = SMALL.run(agents=[Tries(act)])
    (event,) = [e for e in run.log.single("decision") if e.text == "buys for a test"]
    _, rows, _ = run.log.messages()
    assert rows["cause"][rows["account"] == event.account].tolist() == [event.id]


@pytest.mark.parametrize(
    ("agents", "told"),
    [
        (WickBuyer, "'agents' must be a list of agents"),
        ([WickBuyer], r"'agents\[0\]' must be an instance: WickBuyer\(\)"),
        ([3], r"'agents\[0\]' must be an instance of a subclass of fw.Agent"),
        ([WickBuyer(), WickBuyer()], "two agents are called 'wick-buyer'"),
        ([WickBuyer(like="market_maker")], "did you mean 'market_makers'"),
        ([WickBuyer(interval=0)], "'interval' must be a number above 0"),
        ([WickBuyer(name=3)], "'name' of an agent must be text"),
        (
            [WickBuyer(deposits={"USD": 1})],
            "'wick-buyer': deposits: 'USD' is not",
        ),
        ([WickBuyer(deposits={"USDT": -1})], "'wick-buyer': deposits: deposit"),
        ([WickBuyer(deposits=[3])], "'wick-buyer': deposits: 'deposits' must"),
        ([WickBuyer(deposits=None)], "'wick-buyer': deposits: 'deposits' must"),
        ([WickBuyer(hand=(i for i in "x"))], "'wick-buyer' cannot be copied"),
    ],
)
def test_wrong_agents_are_told(agents: Any, told: str) -> None:
    """Before anything runs."""
    with pytest.raises((TypeError, AgentError), match=told):
        SMALL.run(agents=agents)


def test_an_agent_in_no_run_says_so() -> None:
    """Its means are those of a run."""
    with pytest.raises(AgentError, match="WickBuyer is in no run"):
        WickBuyer().best("ATOM/USDT")


def test_saved_runs_with_agents_are_reproduced_with_the_same_agents(
    run: fw.Run, tmp_path: Path
) -> None:
    """Files hold no code: without the agents that is told."""
    run.save(tmp_path / "run")
    with pytest.raises(fw.RunFileError, match=r"agents wick-buyer \(got none\)"):
        fw.reproduce(tmp_path / "run")
    again = fw.reproduce(tmp_path / "run", agents=[WickBuyer()])
    assert fingerprint(again) == fingerprint(run)
    assert "with wick-buyer" in repr(again)
