"""The compiled indices and their drivers against a model in NumPy, to the last bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from indices_model import Model
from phases import UNTRACED

from flashwick.margin.prices import DRIVER, IndexBoard, IndexRule

MARKETS = {
    "BTC/USDT": ("BTC", "USDT"),
    "ETH/USDT": ("ETH", "USDT"),
    "WBETH/USDT": ("WBETH", "USDT"),
    "WBETH/ETH": ("WBETH", "ETH"),
    "BTC/EUR": ("BTC", "EUR"),
}


def shares(*names: str) -> st.SearchStrategy[dict[str, float]]:
    """Weights of some of these sources that sum to 1."""
    some = st.lists(st.sampled_from(names), min_size=1, unique=True)
    return some.map(lambda chosen: dict.fromkeys(chosen, 1.0 / len(chosen)))


def rules(
    *sources: str, also: tuple[str, ...] = (), **others: object
) -> st.SearchStrategy[IndexRule]:
    """Any rule of an asset with markets."""
    return st.builds(
        IndexRule,
        policy=st.sampled_from(["mix", "outside", *also]),
        sources=shares("outside", "fixed", *sources),
        market=st.just(sources[0]) if sources else st.none(),
        value=st.just(1.0),
        band=st.none() | st.floats(0.001, 0.5),
        floor=st.none() | st.floats(0.1, 5.0),
        **{name: st.just(value) for name, value in others.items()},
    )


BOARDS = st.fixed_dictionaries(
    {
        "BTC": rules("BTC/USDT", also=("own_book",)),
        "ETH": rules("ETH/USDT"),
        "WBETH": rules(
            "WBETH/USDT",
            "WBETH/ETH",
            also=("redemption",),
            ratio=1.08,
            underlying="ETH",
        ),
        "EUR": st.builds(
            IndexRule,
            policy=st.sampled_from(["implied", "outside"]),
            market=st.just("BTC/EUR"),
        ),
        "USDT": rules(),
    }
)
PRICES = st.none() | st.floats(0.05, 20.0) | st.sampled_from([0.0, 1.0, 2.0])


@given(
    board=BOARDS,
    path=st.lists(st.tuples(*[PRICES] * 10), min_size=1, max_size=8),
)
@settings(max_examples=150, phases=UNTRACED)
def test_indices_and_drivers_are_those_of_the_model(
    board: dict[str, IndexRule],
    path: list[tuple[float | None, ...]],
) -> None:
    """Also where prices are missing, and where bands and floors hold back."""
    compiled = IndexBoard(board, MARKETS)
    model = Model(
        compiled._rows.copy(), compiled._terms, compiled._order, compiled._inputs
    )
    index = np.append(compiled.index, 1.0)
    for prices in path:
        given_prices = np.array([np.nan if p is None else p for p in prices])
        found = compiled.update(given_prices[:5], given_prices[5:])
        model.update(index)
        assert found.tobytes() == index[:-1].tobytes()
        drivers = [(*driver, b"") for driver in model.drivers(len(MARKETS))]
        assert compiled.drivers.tobytes() == np.array(drivers, DRIVER).tobytes()
        compiled._check()
