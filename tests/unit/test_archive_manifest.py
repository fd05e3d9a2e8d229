from __future__ import annotations

import json

import pytest

from project_export.archive.manifest import Manifest
from project_export.errors import ArchiveBroken
from tests.unit.archive_samples import sample


def test_a_manifest_reads_back_as_it_was_written() -> None:
    manifest = sample().manifest
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(manifest.to_json()).to_json() == manifest.to_json()


def test_several_parts_have_no_common_hash_and_one_part_has_its_own() -> None:
    relations = {relation["relation"]: relation for relation in json.loads(sample().manifest.to_json())["relations"]}
    assert relations["issues"]["sha256"] is None
    assert [part["part"] for part in relations["issues"]["parts"]] == [0, 1, 2]
    assert relations["issues"]["rows"] == 300
    assert relations["labels"]["sha256"] == relations["labels"]["parts"][0]["sha256"]
    assert relations["labels"]["remarks"] == ["a remark"]
    assert relations["boards"]["file"] is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"job_id": "seven"}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ArchiveBroken, match="not the manifest"):
        Manifest.from_json(text)


def test_a_wrong_value_is_named() -> None:
    manifest = json.loads(sample().manifest.to_json())
    manifest["relations"][1]["parts"][2]["rows"] = "many"
    with pytest.raises(ArchiveBroken, match=r"relations\.1\.parts\.2\.rows"):
        Manifest.from_json(json.dumps(manifest))


def test_keys_of_a_later_version_are_left_out() -> None:
    manifest = sample().manifest
    assert Manifest.from_json(json.dumps({**json.loads(manifest.to_json()), "later": 1})) == manifest
