"""Registries: names, what stands there, what may be registered."""

import json

import pytest

import maaf_lab
from maaf_lab.errors import ConfigError
from maaf_lab.profiles import profile_config
from maaf_lab.utils.registry import DATASETS, IMAGE_ENCODERS, MODELS, SYNTHETIC, TEXT_ENCODERS, Registry, import_yours


@pytest.mark.parametrize("registry", [DATASETS, SYNTHETIC, MODELS, IMAGE_ENCODERS, TEXT_ENCODERS], ids=lambda r: r.kind)
def test_every_name_is_there_and_unknown_ones_list_them(registry):
    assert len(registry) == len(list(registry)) and all(registry[name] is not None for name in registry)
    with pytest.raises(ConfigError, match=f"unknown {registry.kind} 'none such'; known: {next(iter(registry))}"):
        registry["none such"]


def test_a_name_is_given_once():
    registry = Registry("thing", {"first": "json:loads"})
    with pytest.raises(ConfigError, match="thing 'first' is json:loads; take another name"):
        registry.register("first")(json.dumps)
    assert registry.register("second")(json.dumps) is json.dumps and registry["second"] is json.dumps
    assert list(registry) == ["first", "second"] and registry["first"] is json.loads


def test_a_class_with_a_key_is_registered_under_it():
    assert all(DATASETS[name].key == name for name in DATASETS)
    registry = Registry("thing", {})

    class Mine:
        key = "mine"

    with pytest.raises(
        ConfigError, match=r"thing 'other': expected .*Mine\.key to be the same name, found 'mine'; give both one"
    ):
        registry.register("other")(Mine)
    assert "other" not in registry and registry.register("mine")(Mine) is registry["mine"] is Mine


def test_a_line_has_the_name_that_its_class_has():
    spot, film = "maaf_lab.data.datasets.spot_the_diff:SpotTheDiff", "maaf_lab.models.systems.film:FiLM"
    registry = Registry("thing", {"spot": spot, "wave": film, "film": film, "bare": "maaf_lab.models.base:TextVectorModel"})
    with pytest.raises(ConfigError, match=r"thing 'spot': expected SpotTheDiff\.key to be the same name, found 'spot_the_diff'"):
        registry["spot"]
    with pytest.raises(ConfigError, match=r"thing 'wave': expected FiLM\.Config\.name to be the same name, found 'film'"):
        registry["wave"]
    with pytest.raises(ConfigError, match=r"thing 'bare': expected TextVectorModel\.Config\.name .*, found none"):
        registry["bare"]
    with pytest.raises(ConfigError, match=r"thing 'mine': expected FiLM\.Config\.name .*, found 'film'; give both one name"):
        registry.register("mine")(registry["film"])


def test_a_misspelled_line_is_told():
    lines = {"a": "maaf_lab.models.systems.film:Film", "b": "maaf_lab.models.systems.flim:FiLM"}
    registry = Registry("thing", lines)
    with pytest.raises(ConfigError, match=r"thing 'a' is .*film:Film in .*: the module has no 'Film'\. Did you mean 'FiLM'"):
        registry["a"]
    with pytest.raises(ConfigError, match=r"thing 'b' is .*: no module maaf_lab\.models\.systems\.flim"):
        registry["b"]


def test_a_registry():
    registry = Registry("fruit", {"json": "json:JSONDecoder"})
    assert list(registry) == ["json"] and registry["json"] is json.JSONDecoder and "x" not in registry and [] not in registry
    with pytest.raises(ConfigError, match="unknown fruit 'pear'; known: json"):
        registry["pear"]
    assert all(isinstance(kind, type) for names in (MODELS, IMAGE_ENCODERS, TEXT_ENCODERS) for kind in names.values())
    assert maaf_lab.profile_config is profile_config


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("./mine.py", r"expected a module's name, found '\./mine\.py': pass mine, "),
        ("mine.py", r".*found 'mine\.py': pass mine, "),
        ("nowhere_at_all", r"expected modules that Python finds, 'nowhere_at_all' could not be imported"),
        ("their_broken_module", r"'their_broken_module' failed at .*their_broken_module\.py:2 \(NameError: name 'x'"),
    ],
)
def test_a_wrong_module_is_told(tmp_path, monkeypatch, name, why):
    (tmp_path / "their_broken_module.py").write_text("1\nx\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MAAF_LAB_MODULES", name)
    with pytest.raises(ConfigError, match=rf"^--with \(or MAAF_LAB_MODULES\): {why}"):
        import_yours()
