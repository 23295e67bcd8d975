"""Every public name of the package has a use: whatever only tests use is no part of the program.

A name is used where the program reads it outside its own definition: functions, classes and constants where their
module or one that imports them does, members of classes where any module reads an attribute of that name. What only
unused definitions use is unused as well. The public face of the package, commands and pages count as uses; `models/` is
for tests and benches, and what those use of it is used.
"""

import ast
import collections
import re
import tomllib

from modules import MODULES, ROOT, tree

# What nothing uses, and why it is there all the same.
ALLOWED = {
    "scission.ir.findings.decomposability.MatrixReport.half_components": "a field of the JSON that --json prints",
    "scission.runtime.render.console._Printing.render_str": "every console asks it for the text that a plain one is",
    "scission.runtime.http.listening.Listening.capture_signals": "uvicorn asks it for what hears signals",
    "scission.runtime.cli.common.listing.Listing.format_commands": "typer asks it for the list of commands in a help",
    "scission.runtime.http.metrics._Parts.collect": "Prometheus' registry asks it for what is counted elsewhere",
    "scission.runtime.upgrade.modules.split_linear.SplitLinear.to_linear": "users of the modules go back by it",
    "scission.runtime.ort.cuda.placement": "benches on GPUs ask which nodes run where",
}
DOOR = ROOT / "src" / "scission"  # what its modules import is public
TORCH = {"extra_repr", "forward"}  # what torch calls of a module
HOOK = "_impl"  # how methods end that Polygraphy calls
COMMANDS = {"command", "callback"}  # decorators that hand a function to the command line
FOR_TESTS, OUTSIDE = "scission.models.", ("tests", "examples")  # who uses it
WORD = re.compile(r"[A-Za-z_]\w*")


def definitions(node, prefix):
    """(dotted name, node) of the public functions, classes and constants of a module or members of a class."""
    for n in node.body:
        if isinstance(n, ast.FunctionDef | ast.ClassDef):
            names = [n.name]
        elif isinstance(n, ast.Assign):
            names = [target.id for target in n.targets if isinstance(target, ast.Name)]
        else:
            names = [n.target.id] if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name) else []
        yield from ((f"{prefix}.{name}", n) for name in names if not name.startswith("_"))
        if isinstance(n, ast.ClassDef):
            yield from definitions(n, f"{prefix}.{n.name}")


def words(node):
    """How often names, attributes and strings that could name one are read in a tree."""
    found, todo = collections.Counter(), [node]
    while todo:
        n = todo.pop()
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and n.targets[0].id == "__all__":
            continue
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load):
            found[n.id] += 1
        elif isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load):
            found[n.attr] += 1
            if isinstance(n.value, ast.Name):
                found[f"{n.value.id}.{n.attr}"] += 1  # `module.function`
        elif isinstance(n, ast.Constant) and isinstance(n.value, str) and "\n" not in n.value:
            found.update(WORD.findall(n.value))  # annotations, getattr, programs for other processes
        todo += ast.iter_child_nodes(n)
    return found


def imported(module, source):
    """The dotted names that a module imports from others of the package, by the names that it gives them."""
    base = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for n in ast.walk(source):
        if isinstance(n, ast.ImportFrom) and n.level:
            parts = base.split(".")
            home = ".".join([*parts[: len(parts) - n.level + 1], *(n.module or "").split(".")]).rstrip(".")
            yield from ((f"{home}.{alias.name}", alias.asname or alias.name) for alias in n.names)


def written(*files):
    """The words of files."""
    return {word for each in files for path in each for word in WORD.findall(path.read_text(encoding="utf-8"))}


def unused(trees, importers, given):
    """Dotted names of what nothing uses; trees: by module; importers: (module, name there) of each dotted name.

    given(dotted, node): whether something outside of the trees uses it.
    """
    read = {module: words(t) for module, t in trees.items()}
    total = sum(read.values(), collections.Counter())
    every = {dotted: (module, n) for module, t in trees.items() for dotted, n in definitions(t, module)}
    own = {dotted: words(n) for dotted, (_, n) in every.items()}
    open_ = {dotted for dotted, (_, n) in every.items() if not given(dotted, n)}

    def is_read(dotted, module):
        holder, _, name = dotted.rpartition(".")
        if holder != module:  # a member
            return total[name] > own[dotted][name]
        if read[module][name] > own[dotted][name] or total[f"{module.rpartition('.')[2]}.{name}"]:
            return True
        by_name, by_module = importers[dotted], importers[module]
        return any(read[m][a] for m, a in by_name) or any(read[m][f"{a}.{name}"] for m, a in by_module)

    dead = []
    while more := [dotted for dotted in open_ if not is_read(dotted, every[dotted][0])]:
        for dotted in more:  # what it reads is read once less, unless its class went already
            open_.discard(dotted)
            if dotted.rpartition(".")[0] not in dead:
                read[every[dotted][0]] -= own[dotted]
                total -= own[dotted]
        dead += more
        open_ -= {member for member in open_ if member.rpartition(".")[0] in dead}
    return sorted(dead)


def test_every_public_name_is_used():
    trees = {module: tree(module) for module in MODULES}
    importers = collections.defaultdict(list)
    for module, source in trees.items():
        for dotted, name in imported(module, source):
            importers[dotted].append((module, name))
    tests, pages = (
        written(*((ROOT / each).rglob("*.py") for each in OUTSIDE)),
        written((ROOT / "runtime").rglob("*.html")),
    )

    entries = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    plugins = {entry.replace(":", ".") for group in entries.values() for entry in group.values()}

    def given(dotted, n):
        decorators = {d.attr for each in getattr(n, "decorator_list", []) for d in ast.walk(each) if hasattr(d, "attr")}
        public = any(MODULES[module].is_relative_to(DOOR) for module, _ in importers[dotted])
        word = dotted.rpartition(".")[2]
        public = public or (word in TORCH and dotted.startswith("scission.runtime.upgrade.modules."))
        if public or dotted in plugins or word.endswith(HOOK):
            return True
        return decorators & COMMANDS or word in pages or (dotted.startswith(FOR_TESTS) and word in tests)

    assert unused(trees, importers, given) == sorted(ALLOWED)


def test_the_law_sees_what_it_is_about():
    source = """
class Kind:
    READ = 1
    FORGOTTEN = 2

    def asked(self):
        return self.asked()

def used():
    return Kind.READ

def forgotten():
    return by_it()

def by_it():
    return forgotten

def public():
    return used()
"""
    found = unused({"m": ast.parse(source)}, collections.defaultdict(list), lambda dotted, _: dotted == "m.public")
    assert found == ["m.Kind.FORGOTTEN", "m.Kind.asked"], "forgotten and by_it use each other"
