"""What an attacker or a slip of the pen tries: refused, and the run goes on."""

from math import isnan
from pathlib import Path

import pytest
from chain_text import deal, run_of, step, told

import flashwick as fw
from flashwick.cython_ext.ledger import Ledger
from flashwick.engine.defi.booking import Booking
from flashwick.engine.defi.protocol import ISSUED, Refused, Transfer
from flashwick.engine.defi.stableswap import StableSwap

POOL = """
[pools.curve]
kind = "stableswap"
reserves = { USDE = 1_000_000, USDC = 1_000_000 }
[feeds.USDE]
quote = "USDC"
sources = { "pools.curve" = 1 }
vote_delay = 0
[wallets.ann]
USDE = 100_000
USDC = 100_000
LUNA = 1_000
"""
VAULT = """
[lending.market]
loan = "USDC"
collateral = "USDE"
feed = "USDE"
lltv = 0.9
supplied = 1_000
[vaults.vault]
asset = "USDC"
caps = { market = 10_000 }
deposited = 5_000
"""


def test_nothing_is_sent_to_a_place_or_into_the_void(tmp_path: Path) -> None:
    """A pool has what was done there and no more; a token is not sent to nobody."""
    deals = [
        deal(at, "ann", step("send", give="USDC", to=to, amount=10.0))
        for at, to in ((5, "pools.curve"), (6, "issued"))
    ]
    run = run_of(tmp_path, POOL + "".join(deals))
    assert len(told(run, "refused at send: 'to' must be one of")) == 2
    assert run.measure("conserved") == 1
    assert run.measure("wallets.ann.USDC.end") == 100_000


def test_shares_that_one_does_not_have_are_not_lent(tmp_path: Path) -> None:
    """Burned first and minted again later, they would move a pool for nothing."""
    pool = deal(
        5,
        "ann",
        step("remove", "pools.curve", amount=1e15),
        step("add", "pools.curve"),
    )
    vault = deal(
        6,
        "ann",
        step("withdraw", "vaults.vault", amount=500.0),
        step("deposit", "vaults.vault", amount=500.0),
    )
    run = run_of(tmp_path, POOL + VAULT + pool + vault)
    refused = told(run, "refused")
    assert len(refused) == 2
    assert "must have" in refused[1]
    assert "of vaults.vault shares (got 0)" in refused[1]


@pytest.mark.parametrize("who", ["foo.bar", "pools.curve", "walets.ann"])
def test_who_acts_is_somebody(tmp_path: Path, who: str) -> None:
    """A name that the run does not know is told before it begins, a place is nobody."""
    text = POOL + deal(5, who, step("swap", "pools.curve", give="USDE", amount=1.0))
    with pytest.raises(fw.ScenarioError, match=r"shocks\.0\.who: .* is nobody who"):
        run_of(tmp_path, text)


def test_an_emptied_pool_has_no_price_and_may_be_filled_again(tmp_path: Path) -> None:
    """Its providers leave with everything; feeds and figures go on."""
    leave = deal(5, "pools.curve providers", step("remove", "pools.curve"))
    fill = deal(20, "ann", step("add", "pools.curve", amount=1_000.0))
    run = run_of(tmp_path, POOL + leave + fill)
    assert told(run, "refused") == []
    prices = run.series.chain.figures["pools.curve.price"]
    assert isnan(prices[10])
    assert prices[-1] == pytest.approx(1.0)
    assert run.measure("conserved") == 1


@pytest.mark.parametrize(
    ("table", "place", "figure"),
    [
        (
            '[issuers.it]\ntoken = "USDE"\nstable = "USDC"\nstable_held',
            "issuers",
            "backing",
        ),
        (
            '[stables.it]\nkind = "reserve"\ncoin = "USDE"\nbacking = "USDC"\nheld',
            "stables",
            "floor",
        ),
    ],
)
def test_whoever_redeems_the_last_token_ends_nothing(
    tmp_path: Path, table: str, place: str, figure: str
) -> None:
    """Of no tokens there is no backing, and the run goes on."""
    text = f"{POOL}\n{table} = 1_000\nsupply = 1_000\n"
    if place == "issuers":
        text += '[feeds.par]\nasset = "USDE"\nsources = { "issuers.it" = 1 }\n'
    all_of_it = step("redeem", f"{place}.it", amount=1_000.0)
    run = run_of(tmp_path, text + deal(5, "ann", all_of_it))
    assert told(run, "refused") == []
    values = run.series.chain.figures[f"{place}.it.{figure}"]
    assert values[0] == 1.0
    assert isnan(values[-1])


def test_a_module_with_a_fee_buys_what_the_coins_are_good_for(tmp_path: Path) -> None:
    """All one has, and what pays the fee is not asked for twice."""
    module = """
[stables.module]
kind = "peg_module"
coin = "USDE"
backing = "USDC"
held = 500_000
ceiling = 1_000_000
redeem_fee = 0.004
"""
    run = run_of(
        tmp_path, POOL + module + deal(5, "ann", step("buy", "stables.module"))
    )
    assert told(run, "refused") == []
    assert run.measure("wallets.ann.USDE.end") == pytest.approx(0.0, abs=1e-5)
    bought = run.measure("wallets.ann.USDC.end") - 100_000
    assert bought == pytest.approx(100_000 / 1.004, abs=1e-5)


def test_a_coin_printed_without_end_is_refused_at_the_end_of_the_ledger() -> None:
    """What moved before is moved back, and the one who prints is told."""
    ledger = Ledger()
    usd, luna, ann = ledger.add_asset(), ledger.add_asset(), ledger.open_accounts(2)
    ledger.deposit(ann, usd, 100)
    accounts = {"ann": ann, "terra": ann + 1}
    booking = Booking(ledger, {"USD": usd, "LUNA": luna}, accounts)
    paid = Transfer("USD", "ann", "terra", 60)
    with pytest.raises(Refused, match=r"'atoms' must be within the ledger's 2\*\*63"):
        booking.book([paid, Transfer("LUNA", ISSUED, "ann", 10**20)])
    assert booking.balance("ann", "USD") == 100


LENDING = """
[feeds.LUNA]
quote = "USDC"
sources = { fixed = 1 }
value = 1.0
vote_delay = 0
[feeds.USDC]
sources = { fixed = 1 }
value = 1.0
[lending.luna]
loan = "USDC"
collateral = "LUNA"
feed = "LUNA"
lltv = 0.8
supplied = 10_000
[lending_pools.shared.reserves]
USDC = { feed = "USDC", ltv = 0.7, threshold = 0.8, supplied = 10_000 }
LUNA = { feed = "LUNA", ltv = 0.7, threshold = 0.8, supplied = 1_000 }
[[shocks]]
at = 5
kind = "vote"
feed = "LUNA"
price = 1e-40
"""


def test_a_collateral_of_no_price_gives_nothing_and_ends_nothing(
    tmp_path: Path,
) -> None:
    """Nobody borrows it, releases it or borrows on it; the run goes on."""
    pledged = deal(
        2,
        "ann",
        step("pledge", "lending.luna", amount=500.0),
        step("borrow", "lending.luna", amount=300.0),
    )
    tries = (
        deal(8, "ann", step("release", "lending.luna"))
        + deal(9, "ann", step("borrow", "lending.luna"))
        + deal(
            10,
            "ann",
            step("supply", "lending_pools.shared", give="USDC", amount=100.0),
            step("borrow", "lending_pools.shared", get="LUNA"),
        )
    )
    run = run_of(tmp_path, POOL + LENDING + pledged + tries)
    refused = told(run, "refused")
    assert len(refused) == 3
    assert all("(got 0)" in text for text in refused), refused
    assert run.measure("conserved") == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("USDE = 1_000_000", "USDE = 1e-12", "amounts.USDE"),
        ('"stableswap"', '"constant_product"', "worth at least one share"),
    ],
)
def test_a_pool_that_cannot_be_filled_is_a_fault_of_its_table(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    """Less than an atom, or too little for a share."""
    text = POOL.replace(old, new, 1)
    if "constant" in new:
        text = text.replace("1_000_000, USDC = 1_000_000", "1e-6, USDC = 1e-6", 1)
    with pytest.raises(
        fw.ScenarioError, match=r"pools\.curve: cannot start: "
    ) as told_:
        run_of(tmp_path, text)
    assert said in str(told_.value)


def test_a_tiny_pool_is_not_swapped_empty() -> None:
    """A whale leaves some of each coin, or is refused."""
    pool = StableSwap.empty("p", ("A", "B"), amplification=1, fee=0, off_peg=2 * 10**10)
    pool, _ = pool.add("lp", {"A": 2_000, "B": 2_000})
    with pytest.raises(Refused, match="'amount' must leave some of each"):
        pool.swap("whale", "A", "B", 10**15)
    pool._check()
