"""Any transactions at all leave every protocol sound and every atom in the ledger."""

from pathlib import Path

import pytest
from chain_text import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flashwick as fw
from flashwick.engine.defi.settings import Step
from flashwick.engine.simulation import World

PLACES = """
[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
amplification = 100

[pools.product]
kind = "constant_product"
reserves = { USDE = 500_000, USDC = 500_000 }

[feeds.USDE]
quote = "USDC"
sources = { "pools.curve" = 1 }

[feeds.USDC]
sources = { fixed = 1 }
value = 1.0

[lending.market]
loan = "USDC"
collateral = "USDE"
feed = "USDE"
lltv = 0.86
supplied = 300_000

[lending_pools.shared.reserves]
USDE = { feed = "USDE", ltv = 0.75, threshold = 0.8, bonus = 0.05 }
USDC = { feed = "USDC", supplied = 300_000, ltv = 0.7, threshold = 0.75 }

[vaults.vault]
asset = "USDC"
caps = { market = 100_000 }

[vaults.pooled]
asset = "USDC"
pool = "curve"
supply = 300_000
held = 100_000
stake = 0.1

[issuers.dollar]
token = "USDE"
stable = "USDC"
supply = 1_000_000
stable_held = 200_000

[wallets]
ann = { USDE = 300_000, USDC = 300_000 }
bob = { USDE = 300_000, USDC = 300_000 }
"""

VERBS = (
    ("pools.curve", ("swap", "add", "remove")),
    ("pools.product", ("swap", "add", "remove")),
    ("lending.market", ("supply", "withdraw", "borrow", "repay", "pledge", "release")),
    ("lending_pools.shared", ("supply", "withdraw", "borrow", "repay")),
    ("vaults.vault", ("deposit", "withdraw")),
    ("vaults.pooled", ("deposit", "withdraw")),
    ("issuers.dollar", ("mint", "redeem")),
)


@st.composite
def actions(draw: st.DrawFn) -> Step:
    """Something to do somewhere, sensible or not."""
    place, verbs = draw(st.sampled_from(VERBS))
    asset = st.sampled_from(("USDE", "USDC"))
    amount = st.none() | st.floats(min_value=0.01, max_value=400_000)
    return Step(
        do=draw(st.sampled_from(verbs)),
        on=place,
        give=draw(asset),
        get=draw(asset),
        amount=draw(amount),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenario of all examples."""
    return written(tmp_path_factory.mktemp("chain"), PLACES)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("wallets.ann", "wallets.bob")),
            st.lists(actions(), min_size=1, max_size=3),
        ),
        max_size=12,
    )
)
def test_no_transaction_loses_an_atom(
    file: Path, deals: list[tuple[str, list[Step]]]
) -> None:
    """Whatever is refused changes nothing; whatever is done is in the ledger."""
    world = World(fw.load(file), 0)
    chain = world.chain
    assert chain is not None
    for second, (who, steps) in enumerate(deals, 1):
        before = dict(chain.around.places)
        done = chain.transact(who, tuple(steps), second * 10**9)
        if done is None:
            assert chain.around.places == before
        chain.wake(second * 10**9)
        assert world.sound()
        assert not world.exchange.ledger.totals().any()


def test_a_refused_step_leaves_the_places_themselves_as_they_were(
    tmp_path: Path,
) -> None:
    """The states of before are not equal ones but the same."""
    world = World(fw.load(written(tmp_path, PLACES)), 0)
    assert world.chain is not None
    places = dict(world.chain.around.places)
    many = Step(do="swap", on="pools.curve", give="USDE", get="USDC", amount=1e6)
    assert world.chain.transact("wallets.ann", (many,), 0) is None
    now = world.chain.around.places
    assert all(now[name] is places[name] for name in places)
