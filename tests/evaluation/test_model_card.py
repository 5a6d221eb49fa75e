from dataclasses import replace

from pocketvision.evaluation.report.model_card import model_card
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.repeating import repeating


def test_the_card_is_what_hugging_face_reads(full_record: RunRecord) -> None:
    import yaml

    command = repeating(
        "runs/my leaves/bundle", "data.csv", "validation", {"tta": ("hflip", "scale"), "robustness": True}
    )
    assert (
        command == "pocketvision evaluate 'runs/my leaves/bundle' data.csv --split val --tta hflip,scale --robustness"
    )
    card = model_card(replace(full_record, command=command))
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert told["library_name"] == "pocketvision" and told["pipeline_tag"] == "image-classification"
    results = told["model-index"][0]["results"]
    assert [each["dataset"]["split"] for each in results] == ["test", "validation"]
    accuracy = {each["type"]: each["value"] for each in results[0]["metrics"]}["accuracy"]
    assert abs(accuracy - full_record.main.metrics.accuracy) < 1e-6
    assert command in body and "## Where it errs" in body and "no, yes" in body


def test_a_command_of_a_set_without_splits_names_none() -> None:
    assert (
        repeating("b", "data", None, {"slices": None, "tta": (), "format": "coco"})
        == "pocketvision evaluate b data --format coco"
    )
