import numpy as np
import pytest
from scipy.special import log_softmax

torch = pytest.importorskip("torch")

from scission.runtime.retrain.objective import Objective, hits  # noqa: E402

RNG = np.random.default_rng(0)
MADE, OTHER = RNG.standard_normal((2, 6, 3))
CLASSES, VALUES = np.array([0, 2, 1, 1, 0, 2]), RNG.standard_normal((6, 3))


def of(loss, about=0, probabilities=False, taught=(), regions=()):
    return Objective(loss=loss, about=about, probabilities=probabilities, taught=taught, regions=regions)


def value(objective, made, labels=None, told=()):
    tensors = [torch.from_numpy(one) for one in made]
    given = None if labels is None else torch.from_numpy(labels)
    return float(objective(tensors, given, [torch.from_numpy(one) for one in told]))


def test_classes_are_judged_by_the_logarithm_of_their_probability():
    wanted = -log_softmax(MADE, axis=1)[np.arange(6), CLASSES].mean()
    assert value(of("cross-entropy"), [MADE], CLASSES) == pytest.approx(wanted)
    likely = np.exp(log_softmax(MADE, axis=1))
    assert value(of("cross-entropy", probabilities=True), [likely], CLASSES) == pytest.approx(wanted)
    sequences = MADE.reshape(2, 3, 3), CLASSES.reshape(2, 3)
    assert value(of("cross-entropy"), [sequences[0]], sequences[1]) == pytest.approx(wanted)


def test_values_are_judged_by_mean_squares_of_the_output_they_are_about():
    wanted = ((OTHER - VALUES) ** 2).mean()
    assert value(of("mse", about=1), [MADE, OTHER], VALUES) == pytest.approx(wanted)
    column = VALUES[:, 0]
    assert value(of("mse"), [MADE[:, :1]], column) == pytest.approx(((MADE[:, 0] - column) ** 2).mean())


def test_a_teacher_is_measured_by_what_it_says_and_added_to_labels():
    sizes = tuple((place, float((one**2).mean())) for place, one in enumerate((VALUES, OTHER)))
    errors = [((MADE - VALUES) ** 2).mean() / sizes[0][1], 0.0]
    assert value(of(None, taught=sizes), [MADE, OTHER], told=[VALUES, OTHER]) == pytest.approx(np.mean(errors))
    both = of("cross-entropy", taught=sizes)
    alone = value(of("cross-entropy"), [MADE, OTHER], CLASSES)
    assert value(both, [MADE, OTHER], CLASSES, [VALUES, OTHER]) == pytest.approx(alone + np.mean(errors))


def test_values_inside_are_added_in_training_and_judge_nothing():
    taught, regions = ((0, 2.0),), ((1, 4.0), (2, 1.0))
    made, told = [MADE, OTHER, VALUES], [VALUES, MADE, MADE]
    squares = [((one - other) ** 2).mean() for one, other in zip(made, told, strict=True)]
    objective = of(None, taught=taught, regions=regions)
    wanted = squares[0] / 2 + (squares[1] / 4 + squares[2]) / 2
    assert value(objective, made, told=told) == pytest.approx(wanted)
    tensors = [torch.from_numpy(one) for one in told]
    assert float(objective.of_outputs([torch.from_numpy(MADE)], None, tensors)) == pytest.approx(squares[0] / 2)


def test_hits_are_the_labels_that_are_the_largest_of_their_row():
    assert hits(torch.from_numpy(MADE), torch.from_numpy(MADE.argmax(1))) == 6
    assert hits(torch.from_numpy(MADE), torch.from_numpy((MADE.argmax(1) + 1) % 3)) == 0
