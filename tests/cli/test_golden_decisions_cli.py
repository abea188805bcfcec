import json

ASKED = "may I take a cat on board of the night train to Rome"
TEXTS = {ASKED: "yes", f"{ASKED} please": "Yes!", f"{ASKED} today?": "no"}


def fill(folder, type_):
    """Three labelled failures in a fresh home, and the ids of their failures by their questions."""
    from andon.golden import Failure
    from andon.golden.cases import failure_id
    from andon.golden.run import capture
    from andon.store import Ledger

    failures = [
        Failure(
            id=failure_id("default", q, "I do not know"),
            captured_us=1,
            app="default",
            question=q,
            answer="I do not know",
        )
        for q in TEXTS
    ]
    ledger = Ledger.open(folder / "home" / "ledger.db")
    capture(ledger, failures, now_us=1)
    ledger.close()
    rows = [{"id": f.id, "ground_truth": TEXTS[f.question]} for f in failures]
    (folder / "labels.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert type_("golden", "label", "--file", "labels.jsonl")[0] == 0
    return [f.id for f in failures]


def test_a_paraphrase_is_refused_reviewed_and_overruled(type_, tmp_path):
    """`golden add` refuses by name, `golden decisions` lists both questions, `golden decide` adds the case at once."""
    first, paraphrase, look_alike = fill(tmp_path, type_)
    assert type_("golden", "decisions")[1].strip() == "no failure was near a case yet"
    (tmp_path / "andon.toml").write_text("[golden.threshold]\nen = 0.85\n")
    code, out, _ = type_("golden", "add")
    assert code == 0
    assert f"refused {paraphrase}: it repeats case G-" in out
    assert "from 0.85 on" in out
    assert f"added {look_alike} although it is near" in out
    assert "2 cases added, 0 known, 1 refused, 0 wait" in out
    out = type_("golden", "decisions")[1]
    assert f"{ASKED} please" in out
    assert "refuse" in out
    code, out, _ = type_("golden", "decide", paraphrase, "variant", "--why", "another tone")
    assert code == 0
    assert "a variant of G-" in out
    assert "2 cases" not in out
    out = type_("golden", "decisions")[1]
    assert "ann" in out
    assert "another tone" in out
    code, _, err = type_("golden", "decide", look_alike, "refuse", "--why", "x")
    assert code != 0
    assert "golden retire" in err
    assert first not in err
    assert "3 known" in type_("golden", "add")[1]


def test_tune_prints_the_lines_to_paste(type_, tmp_path):
    """Precision beside word overlap, and a table that andon.toml takes as it is."""
    same = [
        {"a": f"how do I reset the password of {w}", "b": f"how do I reset a password of {w}", "same": 1} for w in WORDS
    ]
    other = [
        {"a": f"what is the colour of the {w}", "b": "when does the train to Rome leave", "same": 0} for w in WORDS
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in [*same, *other]))
    code, out, err = type_("golden", "tune", "pairs.jsonl")
    assert code == 0
    assert err == ""
    lines = out[out.index("[golden.threshold]") :]
    (tmp_path / "andon.toml").write_text(lines)
    assert type_("golden", "add")[0] == 0
    assert '"shop.en" = ' in type_("golden", "tune", "pairs.jsonl", "--app", "shop")[1]
    turned = [{**r, "same": 1 - r["same"]} for r in [*same, *other]]
    (tmp_path / "turned.jsonl").write_text("".join(json.dumps(r) + "\n" for r in turned))
    code, out, err = type_("golden", "tune", "turned.jsonl")
    assert "coded the other way round?" in err
    assert "[golden.threshold]" not in out


def test_a_wrong_threshold_stops_with_the_key(type_, tmp_path):
    """A threshold that is no cosine is said with its key, before anything is added."""
    (tmp_path / "andon.toml").write_text("[golden.threshold]\nen = 92\n")
    code, _, err = type_("golden", "add")
    assert code != 0
    assert "en = " in err


WORDS = [
    f"{a}{b}"
    for a in ("account", "router", "device", "phone", "mailbox", "server", "tablet", "door")
    for b in "abcdefghij"
]
