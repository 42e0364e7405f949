import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvp_eval.encoding.image_groups import MOST_IMAGES, group_images


@pytest.mark.parametrize(
    ("counts", "most", "sizes"),
    [
        ([], 4, []),
        ([3, 3, 3], 6, [2, 1]),
        ([9, 1, 1, 9], 4, [1, 2, 1]),
        ([1] * (MOST_IMAGES + 1), 1000, [MOST_IMAGES, 1]),
    ],
)
def test_images_are_grouped_until_a_batch_is_full(
    counts: list[int], most: int, sizes: list[int]
) -> None:
    assert [len(group) for group in group_images(counts, most)] == sizes


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200), st.integers(1, 100))
def test_groups_are_a_partition_and_none_could_be_larger(counts: list[int], most: int) -> None:
    groups = group_images(counts, most)
    assert [index for group in groups for index in group] == list(range(len(counts)))
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        total = sum(counts[index] for index in group)
        assert 1 <= len(group) <= MOST_IMAGES
        assert len(group) == 1 or total <= most
        if following is not None:
            assert len(group) == MOST_IMAGES or total + counts[following.start] > most
