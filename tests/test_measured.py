"""The kept results: where they come from, and that they hold what the notebooks say of them."""

import json

import pytest

from course_utils import measured
from course_utils.methods.compare import BESIDE, BUDGET, GAMED, METHODS


@pytest.mark.parametrize("name", sorted(p.stem for p in measured.FOLDER.glob("*.json")))
def test_kept_results_say_when_and_on_what(name):
    rows, provenance = measured.read(name)
    assert len(rows)
    assert set(provenance) == {"date", "machine", "versions", "seconds", "settings"}
    assert set(provenance["versions"]) == set(measured.LIBRARIES)
    assert provenance["date"] in measured.told(provenance)


def test_what_is_not_kept_is_named():
    with pytest.raises(ValueError, match="'nothing' is not kept; there is .*method_comparison"):
        measured.read("nothing")


def test_results_are_read_as_they_were_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    measured.keep("two", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], {"seeds": (0, 1)}, 12.3)
    rows, provenance = measured.read("two")
    assert rows.to_dict("records") == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert provenance["seconds"] == 12 and provenance["settings"] == {"seeds": [0, 1]}


def test_each_of_the_eight_beats_its_start_in_every_seed():
    rows, provenance = measured.read("method_comparison")
    starts = rows[rows.method == "start"].set_index("seed").gold
    assert len(starts) >= 3 and provenance["settings"]["budget"] == BUDGET
    for name in METHODS:
        stated = rows[(rows.method == name) & ~rows.pushed].set_index("seed").gold
        assert (stated > starts).all() and len(stated) == len(starts), name


def test_the_kept_settings_are_those_of_the_package():
    from course_utils.commands.measure import _plain

    settings = measured.read("method_comparison")[1]["settings"]
    for name, method in {**METHODS, **GAMED, **BESIDE}.items():
        assert settings[name]["stated"] == _plain(method.settings), name
        pushed = _plain(method.settings | method.pushed) if method.pushed else None
        assert settings[name]["pushed"] == pushed, name


@pytest.mark.parametrize(
    "name", ["overoptimisation", "frontier", "trained_labels", "biased_raters", "verifier_programs"]
)
def test_the_kept_settings_of_notebook_05_are_those_of_the_package(name):
    from course_utils.commands.measure import goodhart_settings

    assert measured.read(name)[1]["settings"] == json.loads(json.dumps(goodhart_settings()[name]))


def test_trl_agrees_to_1e_minus_5():
    rows, _ = measured.read("trl_parity")
    assert ((rows.ours - rows.trl).abs() < 1e-5).all() and (rows.gradient < 1e-5).all()


def test_the_moving_reference_drifts_farther_in_every_seed():
    from course_utils.iteration.rounds import VARIANTS

    rows, provenance = measured.read("online_kto")
    settings = provenance["settings"]
    assert settings["variants"] == list(VARIANTS) and len(settings["seeds"]) >= 3
    last = rows[rows["round"] == settings["rounds"]].pivot(index="seed", columns="variant", values="kl")
    assert len(last) == len(settings["seeds"]) and not last.isna().any(axis=None)
    assert (last["moving, new votes"] > last["fixed, new votes"]).all()
    assert (last["fixed, all votes"] < last["fixed, new votes"]).all()
    votes = rows[rows["round"] == settings["rounds"]]["votes"]
    assert set(votes) == {settings["rounds"] * settings["votes"]}  # the offline round has as many


def test_gold_rises_and_then_falls_in_every_kept_run_of_reinforcement_learning():
    rows, _ = measured.read("overoptimisation")
    runs = rows[(rows.part == "rl") & (rows.name == "one proxy")].groupby("seed")
    assert len(runs) >= 5
    for seed, run in runs:
        smoothed = run.gold.rolling(3, center=True, min_periods=1).mean()
        assert smoothed.max() > run.gold.iloc[0] + 0.1, seed
        assert run.gold.iloc[-3:].mean() < run.gold.iloc[0], seed
        assert run.proxy.iloc[-3:].mean() > run.proxy.iloc[0] + 0.5, seed


def test_the_rise_is_more_than_noise_on_every_seed_where_many_samples_look_at_it():
    rows, _ = measured.read("frontier")
    free = rows[rows.price == 0]
    assert free.seed.nunique() >= 5
    for seed, run in free.groupby("seed"):
        anew = run[run.samples == run.samples.max()].iloc[0]
        last = run[run.step == run.step.max()].iloc[0]
        assert anew.gain > 1.96 * anew.gain_se, seed
        assert last.gain < -1.96 * last.gain_se and last.proxy > anew.proxy, seed


def test_the_visible_tests_alone_ruin_the_programs_and_one_hidden_test_saves_them():
    rows, _ = measured.read("verifier_programs")
    rows = rows[rows.examples == 0.25].set_index(["verifier", "seed"])
    for seed in rows.index.unique("seed"):
        alone = rows.loc[("the two visible tests", seed)]
        helped = rows.loc[("and one that is not in the prompt", seed)]
        assert alone.visible > 0.9 and alone.hidden < 0.5 and helped.hidden > 0.7, seed
