"""The house: which room may import which, no circles, few files at the door, a quick start."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import maaf_lab

TOP = Path(maaf_lab.__file__).parent
# From the top floor down: a room imports from the rooms behind it in this list. The two applications do not know each other.
FLOORS = (
    ("__main__",),
    ("cli", "__init__"),
    ("paper", "explorers"),
    ("plots",),
    ("analysis",),
    ("experiments",),
    ("training",),
    ("retrieval",),
    ("models",),
    ("synthetic",),
    ("data",),
    ("profiles",),
    ("config",),
    ("notebooks",),
    ("utils",),
    ("arguments",),
    ("errors",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = {".".join(("maaf_lab", *path.relative_to(TOP).with_suffix("").parts)): path for path in sorted(TOP.rglob("*.py"))}


def imports(path):
    """The lab's modules that a file imports, wherever in the file, for types alone too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "maaf_lab":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in FILES else node.module
                yield found if found in FILES else f"{found}.__init__"


HOUSE = {module: set(imports(path)) - {module} for module, path in FILES.items()}


def room(module):
    return module.split(".")[1]


def test_imports_point_down_only():
    up = [
        f"{module} imports {other}"
        for module, others in HOUSE.items()
        for other in others
        if room(module) != room(other) and FLOOR[room(other)] <= FLOOR[room(module)]
    ]
    assert not up, up


def test_there_is_no_circle():
    assert len(list(TopologicalSorter(HOUSE).static_order())) == len(HOUSE)  # CycleError names the circle


def test_few_files_stand_at_the_door():
    assert len(list(TOP.glob("*.py"))) <= 7 and len(list((TOP / "utils").glob("*.py"))) <= 6


def test_css_is_named_in_its_own_files_alone():
    own = {TOP / "data" / "datasets" / "css.py", TOP / "data" / "datasets" / "css_scenes.py"}
    asks = [
        f"{module}: {ast.unparse(node)}"
        for module, path in FILES.items()
        if path not in own and "synthetic/css" not in path.as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Compare) or (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith"))
        and any(isinstance(part, ast.Constant) and str(part.value).startswith("css") for part in ast.walk(node))
    ]
    assert not asks, asks


def test_help_and_import_need_no_torch():
    code = (
        "import sys, contextlib, io, maaf_lab, maaf_lab.cli as cli\n"
        "for args in (['--help'], ['train', '--help'], ['make', '--help']):\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        cli.app(args)\n"
        "print([name for name in ('torch', 'numpy', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
