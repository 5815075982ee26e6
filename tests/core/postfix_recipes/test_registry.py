"""What holds for every recipe: how it is listed, printed and shipped. That Postfix works with it: tests/integration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.postfix import postfix
from gateway.config import read
from gateway.postfix_recipes.catalogue import CATALOGUE
from gateway.postfix_recipes.recipe import Recipe, RecipeUnavailable, parts
from gateway.postfix_recipes.registry import RECIPES

CHECKOUT = Path(__file__).parents[3]
CONTRIB = CHECKOUT / "contrib" / "postfix"
KNOWN_PARTS = ["main.cf", "master.cf", "stellwerk.toml", "milter_headers.conf", "commands", "apply", "check", "back"]
TO_READ = {"apply", "check"}

SHIPPED = {f"{recipe.name}/{file}": values for recipe in RECIPES.values() for file, values in recipe.shipped().items()}
every_file = pytest.mark.parametrize("values", SHIPPED.values(), ids=SHIPPED)
every_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(postfix, ["recipe", *arguments])


def test_all_are_listed_with_when_to_choose_them() -> None:
    lines = dict(line.split("\t") for line in run().output.splitlines())
    assert lines == {name: recipe.when for name, recipe in RECIPES.items()}
    assert json.loads(run("--json").output) == [{"name": name, "when": when} for name, when in lines.items()]


@pytest.mark.parametrize(
    ("name", "nearest"), [("after-queue-lmpt", "after-queue-lmtp"), ("LMTP", "after-queue-lmtp"), ("of", "off")]
)
def test_unknown_name_is_wrong_usage_and_gets_the_nearest(name: str, nearest: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert f'there is no recipe "{name}"; did you mean "{nearest}"?' in result.output


@every_recipe
def test_shipped_files_are_what_the_command_prints(recipe: type[Recipe]) -> None:
    printed = {}
    for file, values in recipe.shipped().items():
        choices = [argument for one in recipe.choices for argument in (f"--{one.name}", getattr(values, one.field))]
        result = run(recipe.name, "--standard-ports", *choices)
        assert result.exit_code == 0
        printed[file] = result.output
    assert printed == {path.name: path.read_text() for path in (CONTRIB / recipe.name).iterdir()}


def test_every_recipe_has_its_folders() -> None:
    """One name, five places: module, template, contrib/postfix, tests, page."""
    package = CHECKOUT / "gateway" / "postfix_recipes"
    for recipe in RECIPES.values():
        module = recipe.name.replace("-", "_")
        assert (package / f"{module}.py").is_file()
        assert (package / "templates" / f"{recipe.name}.txt.j2").is_file()
        assert list((CHECKOUT / "tests" / "integration" / "postfix" / module).glob("test_*.py"))
        assert f"]({recipe.name}/)" in (CONTRIB / "README.md").read_text()
        assert f"](postfix/{recipe.name}.md)" in (CHECKOUT / "docs" / "admin" / "behind-postfix.md").read_text()
        assert (CHECKOUT / "docs" / "admin" / "postfix" / f"{recipe.name}.md").is_file()


@every_file
def test_text_can_be_pasted(values: Recipe) -> None:
    text = values.render()
    printed = parts(text)
    assert list(printed) == [name for name in KNOWN_PARTS if name in printed]
    for line in text.splitlines():
        assert line.startswith("#") or "#" not in line.replace("# before Stellwerk", "")
        assert line == line.rstrip()
        assert len(line) <= 120
    for name in TO_READ & set(printed):
        assert all(line.startswith("#") or not line for line in printed[name].splitlines())


def test_what_is_missing_is_said_with_the_lines_to_add(tmp_path: Path) -> None:
    file = tmp_path / "stellwerk.toml"
    file.write_text(
        '[[listener]]\nname = "mx"\naddress = "127.0.0.1:2525"\n'
        '[next_hop.mail]\nkind = "maildir"\npath = "{domain}/{local}"\n'
    )
    for recipe in CATALOGUE:
        with pytest.raises(RecipeUnavailable) as error:
            recipe.from_config(read(file.read_text()))
        if wanted := parts(recipe().render()).get("stellwerk.toml"):
            assert str(error.value).endswith(wanted)
