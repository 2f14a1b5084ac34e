"""OpenSpiel's games against OpenSpiel itself: what is seen, legal and earned; and that both seats are alike."""

from typing import Any

import numpy as np
import pyspiel
import pytest

from envs.turns import openspiel
from envs.turns.games import OVER
from envs.turns.opponents import uniform

GAMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "connect_four": (openspiel.connect_four, {}),
    "connect_four_4x5": (openspiel.connect_four, {"rows": 4, "columns": 5, "in_a_row": 3}),
    "tic_tac_toe": (openspiel.tic_tac_toe, {}),
    "mnk": (openspiel.mnk, {"rows": 3, "columns": 5, "in_a_row": 3}),
    "hex": (openspiel.hex_, {"size": 4}),
    "othello": (openspiel.othello, {}),
    "breakthrough": (openspiel.breakthrough, {"rows": 5, "columns": 4}),
    "go": (openspiel.go, {"size": 4, "komi": 0.5}),
    "kuhn": (openspiel.kuhn_poker, {}),
    "leduc": (openspiel.leduc_poker, {}),
}
SPIEL = {
    "connect_four": "connect_four",
    "connect_four_4x5": "connect_four(rows=4,columns=5,x_in_row=3)",
    "tic_tac_toe": "tic_tac_toe",
    "mnk": "mnk(m=5,n=3,k=3)",
    "hex": "hex(board_size=4)",
    "othello": "othello",
    "breakthrough": "breakthrough(rows=5,columns=4)",
    "go": "go(board_size=4,komi=0.5)",
    "kuhn": "kuhn_poker",
    "leduc": "leduc_poker",
}
BOARD = sorted(set(GAMES) - {"kuhn", "leduc"})


def stones(name: str, state: Any) -> np.ndarray:
    """(H, W) from the text that OpenSpiel prints, rows from the top: 0, 1 and 2 for the players' pieces."""
    signs = {"x": 1, "X": 1, "o": 2, "O": 2, "b": 1, "w": 2, ".": 0, "+": 0, "-": 0}
    text = str(state)
    if name == "go":
        rows = [line.split()[1] for line in text.splitlines() if line[:2].strip().isdigit()]
    elif name == "othello":
        rows = [line[1:-1].replace(" ", "") for line in text.splitlines() if line[:1].isdigit()]
    elif name == "breakthrough":
        rows = [line[1:] for line in text.splitlines() if line[:1].isdigit()]
    else:
        rows = [line.replace(" ", "") for line in text.splitlines() if line.strip()]
    return np.array([[signs[sign] for sign in row] for row in rows])


def seen_by(name: str, state: Any, player: int) -> np.ndarray:
    """What a player should see: own stones first, turned so that one always plays in the same direction."""
    board = stones(name, state)
    if name == "hex" and player == 1:
        board = board.T
    if name == "breakthrough" and player == 0:
        board = board[::-1, ::-1]
    return np.stack([board == player + 1, board == 2 - player], axis=-1)


@pytest.mark.parametrize("name", BOARD)
def test_boards_are_those_that_openspiel_prints(name: str) -> None:
    """Stone by stone, at every ply, for both players; rewards, ends and the number of legal moves too."""
    make, sizes = GAMES[name]
    games, choice = make(2, **sizes), np.random.default_rng(3)
    twin = pyspiel.load_game(SPIEL[name])
    board = np.array([1])
    for _ in range(4):
        state = twin.new_initial_state()
        games.reset(board, [np.random.default_rng(0)])
        while not state.is_terminal():
            player = state.current_player()
            assert games.to_move()[1] == player
            for looks in (0, 1):
                planes = games.observe(board, np.array([looks]))[0]
                assert games.observation_space.contains(planes)
                np.testing.assert_array_equal(planes[..., :2], seen_by(name, state, looks))
            mask = games.masks(board)[0]
            assert mask.sum() == len(state.legal_actions())
            action = int(uniform(mask[None], choice.random(1))[0])
            games.apply(board, np.array([action]))
            theirs = games.states[1].history()[-1]
            assert theirs in state.legal_actions()
            state.apply_action(theirs)
        assert games.to_move()[1] == OVER
        assert not games.masks(board).any()
        assert games.returns(board)[0].tolist() == state.returns()


@pytest.mark.parametrize("name", ["kuhn", "leduc"])
def test_cards_are_openspiels_information_states(name: str) -> None:
    """Entry by entry, whatever chance deals; and each says who looks."""
    make, _ = GAMES[name]
    games, choice, board = make(1), np.random.default_rng(3), np.array([0])
    assert games.hidden
    for seed in range(20):
        games.reset(board, [np.random.default_rng(seed)])
        while (player := int(games.to_move()[0])) != OVER:
            state = games.states[0]
            np.testing.assert_array_equal(
                games.observe(board, np.array([player]))[0], np.float32(state.information_state_tensor(player))
            )
            assert np.flatnonzero(games.masks(board)[0]).tolist() == state.legal_actions()
            games.apply(board, uniform(games.masks(board), choice.random(1)))
        assert games.returns(board)[0].tolist() == games.states[0].returns()


def test_chance_deals_from_the_boards_own_generator() -> None:
    """Each of Kuhn's six deals with a sixth, and the same seed deals the same."""
    games, board = openspiel.kuhn_poker(1), np.array([0])
    dealt = []
    for seed in range(600):
        games.reset(board, [np.random.default_rng(seed)])
        dealt.append(tuple(games.states[0].history()))
    assert len(set(dealt)) == 6
    assert min(dealt.count(deal) for deal in set(dealt)) > 60
    games.reset(board, [np.random.default_rng(5)])
    assert tuple(games.states[0].history()) == dealt[5]


@pytest.mark.parametrize("name", ["hex", "breakthrough"])
def test_both_seats_see_and_do_the_same(name: str) -> None:
    """A game that is the same from either side: as moves are copied, both see the same and may do the same."""
    make, sizes = GAMES[name]
    games, board = make(1, **sizes), np.array([0])
    games.reset(board, [np.random.default_rng(0)])
    for _ in range(3):
        first, allowed = games.observe(board, np.array([0]))[0], games.masks(board)[0]
        action = int(np.flatnonzero(allowed)[0])
        if name == "breakthrough":
            games.apply(board, np.array([action]))
            second = games.observe(board, np.array([1]))[0]
            # The second sees the first's pieces where the first, having moved, would see a twin's: turned by half.
            np.testing.assert_array_equal(second[..., 1], games.observe(board, np.array([0]))[0][::-1, ::-1, 0])
            games.apply(board, np.array([action]))
        else:
            games.apply(board, np.array([action]))
            again = games.observe(board, np.array([1]))[0]
            row, column = divmod(action, sizes["size"])
            assert again[column, row].tolist() == [0, 1]
            assert first[row, column].tolist() == [0, 0]
            games.apply(board, np.flatnonzero(games.masks(board)[0])[:1])


@pytest.mark.parametrize("name", ["connect_four", "tic_tac_toe", "mnk", "othello"])
def test_colours_do_not_show(name: str) -> None:
    """The same stones with colours swapped look the same to whom they are swapped for."""
    make, sizes = GAMES[name]
    games, board, choice = make(1, **sizes), np.array([0]), np.random.default_rng(1)
    games.reset(board, [np.random.default_rng(0)])
    while games.to_move()[0] != OVER:
        one, other = (games.observe(board, np.array([player]))[0] for player in (0, 1))
        np.testing.assert_array_equal(one, other[..., ::-1])
        games.apply(board, uniform(games.masks(board), choice.random(1)))


def test_hex_connects_top_and_bottom_from_both_seats() -> None:
    """Either player wins by a column of the board as seen."""
    for winner in (0, 1):
        games, board = openspiel.hex_(1, size=3), np.array([0])
        games.reset(board, [np.random.default_rng(0)])
        moves = {
            winner: [0, 3, 6],
            1 - winner: [6, 7, 8],
        }  # the left column, and a row that connects nothing of its own
        while (player := int(games.to_move()[0])) != OVER:
            games.apply(board, np.array([moves[player].pop(0)]))
        assert games.returns(board)[0, winner] == 1


def test_breakthrough_always_moves_up() -> None:
    """From either seat the own pawns are below, every move goes up, and the top row wins."""
    games, board = openspiel.breakthrough(1, rows=5, columns=4), np.array([0])
    games.reset(board, [np.random.default_rng(0)])
    for player in (0, 1):
        planes = games.observe(board, np.array([player]))[0]
        assert planes[-1, :, 0].all()
        assert planes[0, 1:-1, 1].all()
        legal = [(games.names.actions or ())[action] for action in np.flatnonzero(games.masks(board)[0])]
        assert legal[:2] == ["a1 up", "a1 up-right"]
        games.apply(board, np.flatnonzero(games.masks(board)[0])[:1])
        moved = games.observe(board, np.array([player]))[0]
        assert moved[-2, 0, 0] == 1
        assert moved[-1, 0, 0] == 0


def test_names_say_where() -> None:
    """Cells are named as in chess; cells and names agree."""
    games = openspiel.mnk(1, rows=3, columns=4, in_a_row=3)
    assert (games.names.actions or ())[:5] == ("a3", "b3", "c3", "d3", "a2")
    assert (games.names.cells or ())[:5] == ((0, 0), (0, 1), (0, 2), (0, 3), (1, 0))
    games = openspiel.connect_four(1, rows=4, columns=5)
    assert games.names.actions == ("column 1", "column 2", "column 3", "column 4", "column 5")
    assert (games.names.cells or ())[2] == (None, 2)
    go = openspiel.go(1, size=3)
    go.reset(np.array([0]), [np.random.default_rng(0)])
    go.apply(np.array([0]), np.array([(go.names.actions or ()).index("b3")]))
    assert go.observe(np.array([0]), np.array([1]))[0, 0, 1, 1] == 1  # the other's, in the top row
    assert go.observe(np.array([0]), np.array([1]))[0, ..., 2].all()  # the komi is the second player's


def test_go_says_that_the_other_passed() -> None:
    """Two passes end the game, so one must see the first."""
    games, board = openspiel.go(1, size=3), np.array([0])
    games.reset(board, [np.random.default_rng(0)])
    assert not games.observe(board, np.array([0]))[0, ..., 3].any()
    games.apply(board, np.array([9]))
    assert games.observe(board, np.array([1]))[0, ..., 3].all()
    games.apply(board, np.array([9]))
    assert games.to_move()[0] == OVER


@pytest.mark.parametrize("name", sorted(GAMES))
def test_a_state_that_is_put_back_goes_on_alike(name: str) -> None:
    """Boards, whose turn it is and what chance brings; boards that were never begun stay so."""
    make, sizes = GAMES[name]
    one, other, choice = make(3, **sizes), make(3, **sizes), np.random.default_rng(2)
    boards = np.array([0, 2])
    streams = [np.random.default_rng(seed) for seed in range(3)]
    one.reset(boards, [streams[0], streams[2]])
    for _ in range(3):
        live = boards[one.to_move()[boards] != OVER]
        one.apply(live, uniform(one.masks(live), choice.random(len(live))))
    twins = [np.random.default_rng() for _ in range(3)]
    for twin, stream in zip(twins, streams, strict=True):
        twin.bit_generator.state = stream.bit_generator.state
    other.set_state(one.get_state(), twins)
    assert other.to_move()[1] == OVER
    while True:
        assert one.to_move().tolist() == other.to_move().tolist()
        live = boards[one.to_move()[boards] != OVER]
        if not len(live):
            break
        movers = one.to_move()[live]
        np.testing.assert_array_equal(one.observe(live, movers), other.observe(live, movers))
        np.testing.assert_array_equal(one.masks(live), other.masks(live))
        actions = uniform(one.masks(live), choice.random(len(live)))
        one.apply(live, actions)
        other.apply(live, actions)
    np.testing.assert_array_equal(one.returns(boards), other.returns(boards))


@pytest.mark.parametrize(
    ("make", "sizes", "words"),
    [
        (openspiel.connect_four, {"rows": 1}, "rows is 1: expected a whole number from 2 to 30"),
        (openspiel.connect_four, {"rows": "six"}, "rows is 'six'"),
        (openspiel.connect_four, {"in_a_row": 8}, "in_a_row is 8: expected a whole number from 2 to 7"),
        (openspiel.mnk, {"columns": 0}, "columns is 0"),
        (openspiel.hex_, {"size": 100}, "size is 100: expected a whole number from 2 to 26"),
        (openspiel.go, {"size": 20}, "size is 20: expected a whole number from 2 to 19"),
        (openspiel.go, {"komi": "much"}, "komi is 'much': expected a number"),
        (openspiel.breakthrough, {"rows": 3}, "rows is 3: expected"),
    ],
)
def test_sizes_that_make_no_board(make: Any, sizes: dict[str, Any], words: str) -> None:
    """One clear line."""
    from envs.errors import ConfigError

    with pytest.raises(ConfigError, match=words):
        make(1, **sizes)


@pytest.mark.parametrize("name", sorted(GAMES))
def test_boards_are_shown(name: str) -> None:
    """As text and as a picture, at the start and at the end."""
    make, sizes = GAMES[name]
    games, board, choice = make(1, **sizes), np.array([0]), np.random.default_rng(0)
    games.reset(board, [np.random.default_rng(0)])
    start = games.picture(0)
    assert start.dtype == np.uint8
    assert start.shape[2] == 3
    while games.to_move()[0] != OVER:
        games.apply(board, uniform(games.masks(board), choice.random(1)))
    assert games.picture(0).shape[2] == 3
    if name in BOARD:
        assert (games.picture(0) != start).any()
        assert games.text(0).count("x") == (stones(name, games.states[0]) == 1).sum()
