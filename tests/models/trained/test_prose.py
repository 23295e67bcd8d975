import pytest

from scission.models.trained.prose import pairs, prose

STANDARD = ("email", "unittest", "xml")


def test_sentences_are_different_ones_in_an_order_of_the_seed():
    one, again, other = (prose(20, seed, STANDARD) for seed in (1, 1, 2))
    assert one == again != other and len(set(one)) == 20
    assert all(40 <= len(text) <= 220 and len(text.split()) >= 6 and ">>>" not in text for text in one)


def test_pairs_are_sentences_that_follow_one_another_and_none_is_in_two():
    one, again, other = (pairs(15, seed, STANDARD) for seed in (1, 1, 2))
    assert one == again != other
    texts = [text for pair in one for text in pair]
    assert len(set(texts)) == 30 and set(texts) <= set(prose(len(all_prose()), packages=STANDARD))
    with pytest.raises(ValueError, match="pairs, not 1000000"):
        pairs(10**6, packages=["xml"])


def all_prose():
    """Every sentence of these packages: as many as the error says that there are."""
    with pytest.raises(ValueError, match="sentences") as error:
        prose(10**6, packages=STANDARD)
    return range(int(str(error.value).split(" have ")[1].split()[0]))


def test_fewer_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="sentences, not 1000000; name further packages"):
        prose(10**6, packages=["xml"])
    with pytest.raises(ValueError, match="no_such_package have 0 sentences"):
        prose(1, packages=["no_such_package"])
