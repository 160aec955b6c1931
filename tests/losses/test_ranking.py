"""Ranking contrastive losses: golden numbers, the equations in loops, corner cases, gradients."""

import math

import pytest
import torch
from numpy.testing import assert_allclose

from skrr2qc.hierarchy import distance_ranks
from skrr2qc.losses import ranking_contrastive_loss, ranking_temperatures, rince_loss
from skrr2qc.losses._ranking import rank_terms
from tests.reference import ranking as reference
from tests.reference.golden import golden_cases

VARIANTS = ["in", "out", "paper"]
RINCE_VARIANTS = ["in", "out", "out-in"]
MAX_RANK = 4
TEMPERATURES = ranking_temperatures(MAX_RANK)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def golden(component):
    return pytest.mark.parametrize("case", golden_cases(component), ids=lambda case: case["id"])


def random_case(seed, n_anchors=6, n_bank=11):
    """Similarities, ranks, closeness with a few zeros, and pairs that do not exist."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n_anchors, n_bank)
    similarities = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    ranks = torch.randint(MAX_RANK + 1, shape, generator=generator)
    closeness = torch.rand(shape, generator=generator, dtype=torch.float64)
    closeness[torch.rand(shape, generator=generator) < 0.2] = 0.0
    valid = torch.rand(shape, generator=generator) < 0.8
    return similarities, ranks, closeness, valid


def one_of_each():
    """One anchor, one bank item of each rank."""
    similarities = torch.tensor([[0.5, 0.2, 0.3, -0.1, 0.1]], dtype=torch.float64)
    return similarities, torch.arange(MAX_RANK + 1)[None]


def nothing_to_learn(case):
    """Inputs without any pair to compare: similarities, ranks, valid."""
    similarities = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 4)
    ranks, valid = torch.ones(2, 4, dtype=torch.int64), torch.ones(2, 4, dtype=torch.bool)
    if case == "empty bank":
        return similarities[:, :0], ranks[:, :0], valid[:, :0]
    if case == "no anchor":
        return similarities[:0], ranks[:0], valid[:0]
    if case == "no positive":
        ranks[:] = MAX_RANK
    if case == "nothing farther is valid":
        ranks[:, 2:] = 3
        valid[:, 2:] = False
    if case == "all invalid":
        ranks[:, 2:] = 3
        valid[:] = False
    return similarities, ranks, valid


NOTHING = [
    "empty bank",
    "no anchor",
    "no positive",
    "all alike",
    "nothing farther is valid",
    "all invalid",
]


# ------------------------------------------------------------------------------- temperatures


@pytest.mark.parametrize("spacing", ["geometric", "linear"])
@golden("temperature_schedule")
def test_golden_temperatures(case, spacing):
    inputs = case["inputs"]
    low, high = inputs["tau_min"], inputs["tau_max"]
    found = ranking_temperatures(inputs["max_rank"], low=low, high=high, spacing=spacing)
    assert_allclose(found[inputs["ranks"]], case["expected"][spacing], rtol=1e-8)


@pytest.mark.parametrize("spacing", ["geometric", "linear"])
@pytest.mark.parametrize("max_rank", [1, 2, 5])
def test_temperatures_equal_the_equation(max_rank, spacing):
    found = ranking_temperatures(max_rank, low=0.05, high=0.9, spacing=spacing)
    expected = [
        reference.temperature(rank, max_rank, 0.05, 0.9, spacing) for rank in range(max_rank + 1)
    ]
    assert found.dtype == torch.float64
    assert_allclose(found, expected, rtol=1e-12)


def test_unknown_spacing():
    with pytest.raises(ValueError, match="'geometric' or 'linear', got 'cosine'"):
        ranking_temperatures(2, spacing="cosine")


# -------------------------------------------------------------------------- numbers and loops


@golden("ranking_contrastive_loss")
def test_golden_loss_and_its_terms(case):
    inputs, expected = case["inputs"], case["expected"]
    temperatures = ranking_temperatures(
        inputs["two_H"],
        low=inputs.get("tau_min", 0.1),
        high=inputs.get("tau_max", 0.6),
        spacing=inputs.get("schedule", "geometric"),
    )
    similarities, closeness = (
        torch.tensor(inputs[name], dtype=torch.float64) for name in ("sim", "weight")
    )
    ranks = torch.from_numpy(distance_ranks(inputs["khd"]))
    arguments = (similarities, ranks, temperatures, closeness)
    terms, is_present = rank_terms(*arguments, variant=inputs["variant"])
    assert is_present.nonzero().flatten().tolist() == [int(k) for k in expected["per_rank"]]
    assert_allclose(terms[is_present], list(expected["per_rank"].values()), rtol=1e-8)
    assert not terms[~is_present].any()
    loss = ranking_contrastive_loss(*arguments, variant=inputs["variant"])
    assert loss.shape == ()
    assert_allclose(float(loss), expected["loss"], rtol=1e-8)


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
@golden("rince_loss")
def test_golden_rince(case, variant):
    inputs, expected = case["inputs"], case["expected"]
    similarities = torch.tensor(inputs["sim"], dtype=torch.float64)
    temperatures = torch.tensor(inputs["tau"], dtype=torch.float64)
    ranks = torch.tensor(inputs["rank"])
    key = variant.replace("-", "_")
    if f"{key}_mean" in expected:
        loss = rince_loss(similarities, ranks, temperatures, variant=variant)
        assert_allclose(float(loss), expected[f"{key}_mean"], rtol=1e-8)
    for rank, value in enumerate(expected.get(f"{key}_per_rank", ())):
        valid = ranks >= rank  # alone, with what is nearer taken away
        alone = rince_loss(
            similarities,
            (ranks - rank).clamp(min=0),
            temperatures[rank : rank + 1],
            valid,
            variant=variant,
        )
        assert_allclose(float(alone), value, rtol=1e-8)


def test_by_hand():
    """exp(s / tau) is 8 and 2 at rank 0 with weights 1/2 and 1, 4 at rank 1, 1 at rank 2."""
    log = math.log
    temperatures = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    masses = torch.tensor([[8.0, 2.0, 4.0, 1.0]], dtype=torch.float64)
    ranks = torch.tensor([[0, 0, 1, 2]])
    similarities = masses.log() * temperatures[ranks]
    closeness = torch.tensor([[0.5, 1.0, 1.0, 1.0]], dtype=torch.float64)
    expected = {
        "in": [log(11 / 6), log(5 / 4)],
        "out": [(log(9 / 4) + log(7 / 2)) / 2, log(5 / 4)],
        "paper": [log(5 / 6), log(1 / 4)],
    }
    for variant, values in expected.items():
        terms, _ = rank_terms(similarities, ranks, temperatures, closeness, variant=variant)
        assert_allclose(terms, values, rtol=1e-12)
        loss = ranking_contrastive_loss(
            similarities, ranks, temperatures, closeness, variant=variant
        )
        assert_allclose(float(loss), sum(values) / 2, rtol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_equation(seed, variant):
    similarities, ranks, closeness, valid = random_case(seed)
    lists = [x.tolist() for x in (similarities, ranks, TEMPERATURES, closeness, valid)]
    expected = reference.rank_terms(*lists, variant)
    terms, is_present = rank_terms(similarities, ranks, TEMPERATURES, closeness, valid, variant)
    assert is_present.nonzero().flatten().tolist() == list(expected)
    assert_allclose(terms[is_present], list(expected.values()), rtol=1e-9)
    loss = ranking_contrastive_loss(
        similarities, ranks, TEMPERATURES, closeness, valid, variant=variant
    )
    assert_allclose(float(loss), reference.ranking_contrastive(*lists, variant), rtol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_ranks_that_do_not_occur_are_left_out(seed, variant):
    """With few items, anchors miss ranks, and ranks miss anchors."""
    similarities, ranks, closeness, valid = random_case(seed, n_anchors=2, n_bank=3)
    lists = [x.tolist() for x in (similarities, ranks, TEMPERATURES, closeness, valid)]
    loss = ranking_contrastive_loss(
        similarities, ranks, TEMPERATURES, closeness, valid, variant=variant
    )
    _, is_present = rank_terms(similarities, ranks, TEMPERATURES, closeness, valid, variant)
    assert not is_present.all()
    assert_allclose(float(loss), reference.ranking_contrastive(*lists, variant), rtol=1e-9)


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
@pytest.mark.parametrize("seed", range(5))
def test_rince_equals_the_equation(seed, variant):
    similarities, ranks, _, valid = random_case(seed)
    temperatures = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)  # 3 and 4 are negatives
    lists = [x.tolist() for x in (similarities, ranks, temperatures, valid)]
    loss = rince_loss(similarities, ranks, temperatures, valid, variant=variant)
    assert_allclose(float(loss), reference.rince(*lists, variant), rtol=1e-9)


@pytest.mark.parametrize("function", [ranking_contrastive_loss, rince_loss])
def test_unknown_variant(function):
    similarities, ranks = one_of_each()
    with pytest.raises(ValueError, match="`variant` must be .* got 'both'"):
        function(similarities, ranks, TEMPERATURES, variant="both")


# --------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("seed", range(5))
def test_in_is_never_negative(seed):
    similarities, ranks, closeness, valid = random_case(seed)
    terms, _ = rank_terms(similarities, ranks, TEMPERATURES, closeness, valid)
    assert (terms >= 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_term_falls_with_its_positives_and_rises_with_what_is_farther(variant):
    """For each rank by itself: an item of rank 2 is sought by rank 2 and shunned by rank 0."""
    similarities, ranks = one_of_each()
    similarities.requires_grad_()
    terms, is_present = rank_terms(similarities, ranks, TEMPERATURES, variant=variant)
    assert is_present.all()
    for rank, term in enumerate(terms):
        (slope,) = torch.autograd.grad(term, similarities, retain_graph=True)
        signs = [0] * rank + [-1] + [1] * (MAX_RANK - rank)
        assert slope.sign().flatten().tolist() == signs


@pytest.mark.parametrize("factor", [0.01, 7.0])
@pytest.mark.parametrize("rank", range(MAX_RANK))
def test_closeness_of_one_rank_shifts_the_paper_term_by_its_logarithm(rank, factor):
    similarities, ranks, closeness, valid = random_case(0)
    scaled = torch.where(ranks == rank, factor * closeness, closeness)
    arguments = (similarities, ranks, TEMPERATURES)
    before, _ = rank_terms(*arguments, closeness, valid, "paper")
    after, _ = rank_terms(*arguments, scaled, valid, "paper")
    expected = torch.zeros(MAX_RANK)
    expected[rank] = -math.log(factor)
    assert_allclose(after - before, expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_in_equals_out_with_one_positive_a_rank(seed):
    similarities, _, closeness, _ = random_case(seed, n_bank=MAX_RANK + 3)
    farthest = torch.full((2,), MAX_RANK)
    ranks = torch.cat([torch.randperm(MAX_RANK + 1), farthest]).expand_as(similarities)
    arguments = (similarities, ranks, TEMPERATURES, closeness.clamp(min=0.1))
    inside, _ = rank_terms(*arguments, variant="in")
    outside, _ = rank_terms(*arguments, variant="out")
    assert_allclose(inside, outside, rtol=1e-12)
    assert inside.all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_of_bank_and_of_batch_does_not_matter(variant):
    case = random_case(1)
    loss = loss_of(case, variant)
    in_bank, in_batch = torch.randperm(case[0].shape[1]), torch.randperm(case[0].shape[0])
    assert_allclose(float(loss_of([x[:, in_bank] for x in case], variant)), loss, rtol=1e-12)
    assert_allclose(float(loss_of([x[in_batch] for x in case], variant)), loss, rtol=1e-12)


def loss_of(case, variant):
    similarities, ranks, closeness, valid = case
    return ranking_contrastive_loss(
        similarities, ranks, TEMPERATURES, closeness, valid, variant=variant
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_closeness_is_the_same_as_no_positive(variant):
    """Such an item must still push as a negative of nearer ranks: it is only no positive."""
    similarities, ranks, closeness, _ = random_case(2)
    similarities, ranks, closeness = similarities[:1], ranks[:1], torch.ones_like(closeness[:1])
    ranks[0, 0], ranks[0, 1:3] = 2, torch.tensor([2, 1])
    closeness[0, 0] = 0.0
    without, _ = rank_terms(similarities, ranks, TEMPERATURES, closeness, variant=variant)
    valid = torch.ones_like(ranks, dtype=torch.bool)
    valid[0, 0] = False
    masked, _ = rank_terms(similarities, ranks, TEMPERATURES, closeness, valid, variant)
    assert_allclose(without[2:], masked[2:], rtol=1e-12)
    assert (without[:2] > masked[:2]).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_slots_that_do_not_exist_change_nothing(variant):
    similarities, ranks, closeness, valid = random_case(3)
    n_more = 5
    new = [torch.rand(len(ranks), n_more).double(), torch.randint(MAX_RANK + 1, (len(ranks), 5))]
    new += [torch.rand(len(ranks), n_more), torch.zeros(len(ranks), n_more, dtype=torch.bool)]
    case = (similarities, ranks, closeness, valid)
    wider = [torch.cat(pair, dim=1) for pair in zip(case, new, strict=True)]
    wider[0].requires_grad_()
    loss = loss_of(wider, variant)
    assert_allclose(loss.item(), float(loss_of(case, variant)), rtol=1e-12)
    loss.backward()
    assert not wider[0].grad[:, -n_more:].any()


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
def test_rince_leaves_invalid_slots_out(variant):
    similarities, ranks, _, valid = random_case(3)
    temperatures = TEMPERATURES[:-1]
    valid[:, 6:] = False
    loss = rince_loss(similarities, ranks, temperatures, valid, variant=variant)
    cut = [x[:, :6] for x in (similarities, ranks)]
    expected = rince_loss(*cut, temperatures, valid[:, :6], variant=variant)
    assert_allclose(float(loss), float(expected), rtol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_valid_may_be_one_row_or_one_column(variant):
    similarities, ranks, closeness, valid = random_case(4)
    for narrow in (valid[:1], valid[:, :1]):
        found = loss_of((similarities, ranks, closeness, narrow), variant)
        whole = loss_of((similarities, ranks, closeness, narrow.expand_as(ranks)), variant)
        assert found == whole
    everything = torch.ones_like(valid)
    found = ranking_contrastive_loss(
        similarities, ranks, TEMPERATURES, torch.ones_like(closeness), everything, variant=variant
    )
    plain = ranking_contrastive_loss(similarities, ranks, TEMPERATURES, variant=variant)
    assert_allclose(float(found), float(plain), rtol=1e-12)


# ------------------------------------------------------------------------------- corner cases


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", NOTHING)
def test_nothing_to_compare_is_zero_and_can_be_trained(case, variant):
    similarities, ranks, valid = nothing_to_learn(case)
    similarities.requires_grad_()
    closeness = torch.full_like(similarities, 0.5).detach()
    loss = ranking_contrastive_loss(
        similarities, ranks, TEMPERATURES, closeness, valid, variant=variant
    )
    assert loss.shape == ()
    assert loss.item() == 0.0
    loss.backward()
    assert not similarities.grad.any()  # NaN would count as any


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
@pytest.mark.parametrize("case", NOTHING)
def test_rince_with_nothing_to_compare_is_zero_and_can_be_trained(case, variant):
    similarities, ranks, valid = nothing_to_learn(case)
    similarities.requires_grad_()
    loss = rince_loss(similarities, ranks, TEMPERATURES[:-1], valid, variant=variant)
    assert loss.item() == 0.0
    loss.backward()
    assert not similarities.grad.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_anchors_without_a_pair_do_not_count(variant):
    """Row 1 has only farthest items, row 2 only invalid ones."""
    case = random_case(5)
    case[1][1], case[3][2] = MAX_RANK, False
    kept = torch.tensor([0, 3, 4, 5])
    loss = loss_of(case, variant)
    assert_allclose(float(loss), float(loss_of([x[kept] for x in case], variant)), rtol=1e-12)


@pytest.mark.parametrize("spacing", ["flat", "geometric"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_extreme_similarities_at_low_temperatures(variant, spacing):
    """exp(1 / 0.01) overflows float32; positives at -1 beside negatives at 1, and the reverse."""
    high = 0.01 if spacing == "flat" else 0.6
    temperatures = ranking_temperatures(2, low=0.01, high=high)
    similarities = torch.tensor([[-1.0, 1, 1, 1, -1], [1, -1, -1, -1, 1], [1, 1, 1, 1, 1]])
    similarities.requires_grad_()
    ranks = torch.tensor([[0, 0, 1, 2, 2]] * 3)
    closeness = torch.tensor([[1e-6, 1.0, 1e-6, 1.0, 1.0]] * 3)
    terms, is_present = rank_terms(similarities, ranks, temperatures, closeness, variant=variant)
    assert is_present.all()
    assert torch.isfinite(terms).all()
    lists = [similarities.tolist(), ranks.tolist(), temperatures.tolist(), closeness.tolist()]
    expected = reference.rank_terms(*lists, [[True] * 5] * 3, variant)
    assert_allclose(terms.detach(), list(expected.values()), rtol=1e-5, atol=1e-6)
    terms.sum().backward()
    assert torch.isfinite(similarities.grad).all()
    assert similarities.grad.any()


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
def test_rince_with_extreme_similarities(variant):
    similarities = torch.tensor([[-1.0, 1.0, 1.0, -1.0]], requires_grad=True)
    loss = rince_loss(
        similarities, torch.tensor([[0, 0, 1, 2]]), torch.tensor([0.01, 0.01]), variant=variant
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(similarities.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_half_precision_is_computed_in_float32(variant, dtype):
    similarities, ranks, closeness, valid = random_case(6)
    half = similarities.to(dtype).requires_grad_()
    loss = loss_of((half, ranks, closeness.to(dtype), valid), variant)
    full = loss_of((half.detach().float(), ranks, closeness.to(dtype).float(), valid), variant)
    assert loss.dtype == torch.float32
    assert loss == full
    loss.backward()
    assert torch.isfinite(half.grad).all()
    by_rince = rince_loss(half, ranks, TEMPERATURES[:-1], valid)
    assert by_rince.dtype == torch.float32
    assert by_rince == rince_loss(half.float(), ranks, TEMPERATURES[:-1], valid)


def test_rince_of_many_similarities_in_half_precision():
    """Their sum is beyond float16, and used to make the loss NaN."""
    similarities = torch.ones(300, 300, dtype=torch.float16)
    ranks = torch.arange(300).remainder(2).expand(300, 300)
    loss = rince_loss(similarities, ranks, torch.tensor([0.5]))
    assert_allclose(float(loss), math.log(2), rtol=1e-5)


# ---------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients(seed, variant):
    similarities, ranks, closeness, valid = random_case(seed, n_anchors=3, n_bank=9)
    similarities.requires_grad_()

    def loss(similarities):
        return loss_of((similarities, ranks, closeness, valid), variant)

    assert torch.autograd.gradcheck(loss, similarities)
    loss(similarities).backward()
    assert not similarities.grad[~valid].any()
    assert similarities.grad.any()
    assert torch.isfinite(similarities.grad).all()


@pytest.mark.parametrize("variant", RINCE_VARIANTS)
def test_rince_gradients(variant):
    similarities, ranks, _, valid = random_case(7, n_anchors=3, n_bank=9)
    similarities.requires_grad_()
    temperatures = torch.tensor([0.1, 0.3], dtype=torch.float64)

    def loss(similarities):
        return rince_loss(similarities, ranks, temperatures, valid, variant=variant)

    assert torch.autograd.gradcheck(loss, similarities)
    loss(similarities).backward()
    assert similarities.grad.any()
    assert not similarities.grad[~valid].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_gradient_through_closeness(variant):
    similarities, ranks, closeness, valid = random_case(8)
    similarities.requires_grad_()
    closeness.requires_grad_()
    loss = loss_of((similarities, ranks, closeness, valid), variant)
    loss.backward()
    assert closeness.grad is None
    assert similarities.grad.any()


def test_discount_weighs_nearer_ranks_more():
    torch.manual_seed(0)
    similarities = torch.rand(5, 12, dtype=torch.float64) * 2 - 1
    ranks, temperatures = torch.randint(0, 4, (5, 12)), ranking_temperatures(3)
    terms, is_present = rank_terms(similarities, ranks, temperatures)
    assert is_present.all()
    loss = ranking_contrastive_loss(similarities, ranks, temperatures, discount=0.5)
    expected = (terms[0] + terms[1] / 2 + terms[2] / 4) / 1.75
    assert_allclose(float(loss), float(expected), rtol=1e-12)


def test_discount_passes_over_ranks_that_do_not_occur():
    similarities, ranks = torch.tensor([[0.5, 0.1]]), torch.tensor([[2, 3]])
    arguments = similarities, ranks, ranking_temperatures(3)
    discounted = ranking_contrastive_loss(*arguments, discount=0.5)
    assert_allclose(float(discounted), float(ranking_contrastive_loss(*arguments)), rtol=1e-6)
