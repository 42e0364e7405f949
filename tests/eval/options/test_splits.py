import pytest

from fgvp_eval.errors import UsageError
from fgvp_eval.options.splits import SPLITS, parse_splits


def names(text: str) -> list[str]:
    return [split.name for split in parse_splits(text)]


def test_names_of_the_contract_exist() -> None:
    assert set(SPLITS) == {
        *("demo", "demo_location", "demo_parts", "paco_val", "paco_test"),
        *(
            f"{data}_{part}"
            for data in ("refcoco", "refcoco+")
            for part in ("val", "testA", "testB")
        ),
        "refcocog_val",
        "refcocog_test",
    }


def test_commas_and_collections_give_each_split_once_in_order() -> None:
    assert names("refcocog_test, refcocog_all,demo") == ["refcocog_test", "refcocog_val", "demo"]
    assert names("refcoco+_all") == ["refcoco+_val", "refcoco+_testA", "refcoco+_testB"]


def test_case_does_not_matter() -> None:
    assert names("RefCOCO_testa") == ["refcoco_testA"]


def test_partitions() -> None:
    split_by = {name: split.split_by for name, split in SPLITS.items()}
    assert split_by["refcoco_val"] == split_by["refcoco+_testB"] == split_by["demo"] == "unc"
    assert split_by["refcocog_test"] == "umd"


def test_unknown_name_lists_closest_and_all_choices() -> None:
    with pytest.raises(
        UsageError, match=r"unknown split 'refcoco_vall' \(did you mean refcoco_val"
    ):
        parse_splits("refcoco_vall")
    with pytest.raises(UsageError, match=r"choices: demo, .*refcoco_val, .*refcocog_all, paco_all"):
        parse_splits("imagenet")
    with pytest.raises(UsageError, match="unknown split ''"):
        parse_splits("demo,")


def test_splits_of_parts() -> None:
    assert [name for name, split in SPLITS.items() if split.has_parts] == [
        "paco_val",
        "paco_test",
        "demo_parts",
    ]
    assert [name for name, split in SPLITS.items() if split.is_demo] == [
        "demo",
        "demo_location",
        "demo_parts",
    ]
    assert names("paco_all") == ["paco_val", "paco_test"]
