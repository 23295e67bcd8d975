"""What commands read and what they write: lines for every reader and every output, and a folder to type them in."""

import os
import shutil

import numpy as np
import onnx
from annealable import network
from shell import W, model_of
from strange_files import known, strange

import scission

READERS = {  # what is read, by the name that it is given below
    "a model": "plan it.onnx",
    "a model of a pair": "diff in.onnx it.onnx",
    "the data of a model": "plan in_it.onnx",
    "a plan": "apply in.onnx it.json out.onnx",
    "inputs": "check in.onnx in.onnx --inputs it.npz",
    "labels": "sweep noisy.onnx --data calib.npz --labels it.npy",
    "samples": "sweep noisy.onnx --data it.npz",
    "an initial model": "plan noisy.onnx --anneal update --initial it.onnx",
    "an initial checkpoint": "plan noisy.onnx --anneal update --initial it.npz",
    "safetensors": "plan noisy.onnx --anneal update --initial it.safetensors",
    "a state dict": "plan noisy.onnx --anneal update --initial it.pt",
    "an array": "structure it.npy",
    "a sparse matrix": "cover it.mtx",
    "a table": "structure it.csv",
    "a library": "plan in.onnx --custom-ops it.so",
}
SWEPT = "sweep ext.onnx --data calib.npz --labels labels.npy --anneal update --initial start.npz --custom-ops ops.so"
JUDGED = "optimize noisy.onnx {} --anneal update --initial start.npz --data calib.npz --max-drop python:own.worth<=0.1"
KEPT = "--anneal update --initial init.onnx --data calib.npz --labels labels.npy --max-drop argmax<=0.5"
OUTPUTS = {  # lines with a place for the output, the suffix that it must have, and what they read
    "plan ext.onnx -o {}": ("", "ext.onnx ext.bin"),
    "plan seen/hub.onnx -o {}": ("", "seen/hub.onnx seen/hub.bin"),
    "plan noisy.onnx --anneal update --initial init.onnx --custom-ops ops.so -o {}": (
        "",
        "noisy.onnx init.onnx init.bin ops.so",
    ),
    "plan noisy.onnx --anneal update --initial start.npz -o {}": ("", "start.npz"),
    "plan in.onnx --tune -o {}": ("", "cache/tuning.json"),
    "apply ext.onnx ext.json {}": ("", "ext.onnx ext.bin ext.json"),
    "apply seen/hub.onnx ext.json {}": ("", "seen/hub.onnx seen/hub.bin"),
    "apply in.onnx plan.json {} --custom-ops ops.so": ("", "in.onnx plan.json ops.so"),
    "optimize in.onnx {} --inputs x.npz --custom-ops ops.so": ("", "in.onnx x.npz ops.so"),
    "optimize in.onnx {} --tune": ("", "cache/tuning.json"),
    f"optimize ext.onnx {{}} {KEPT}": ("", "ext.onnx ext.bin init.onnx init.bin calib.npz labels.npy"),
    "sweep noisy.onnx --data calib.npz --metric python:own.worth -o {}": ("", "own.py"),
    JUDGED: ("", "own.py start.npz"),
    f"{SWEPT} -o {{}}": ("", "ext.onnx ext.bin calib.npz labels.npy start.npz ops.so"),
    f"{SWEPT} --plot {{}}": (".svg", "ext.onnx ext.bin calib.npz labels.npy start.npz ops.so"),
    "report ext.onnx -o {} --custom-ops ops.so": ("", "ext.onnx ext.bin ops.so"),
    "report in.onnx seen/hub.onnx -o {} --plan plan.json --inputs x.npz": (
        "",
        "in.onnx seen/hub.onnx seen/hub.bin plan.json x.npz",
    ),
    "diff in.onnx ext.onnx --html {}": ("", "in.onnx ext.onnx ext.bin"),
    "structure w.npy --dot {}": ("", "w.npy"),
    "structure w.npy --picture {}": (".png", "w.npy"),
    "cover w.npy --picture {}": (".svg", "w.npy"),
    "cover seen/hub.onnx --picture {}": (".svg", "seen/hub.onnx seen/hub.bin"),
}
MODELS = [line for line in OUTPUTS if line.startswith(("apply", "optimize"))]  # which write data beside as well


def fill(folder):
    """Everything that the lines read; in `seen` as a hub's cache has it, links into a folder of blobs."""
    external = {"save_as_external_data": True, "size_threshold": 0}
    onnx.save(model_of(W), folder / "in.onnx")
    (folder / "plan.json").write_text(scission.plan(folder / "in.onnx", force=True, provider="cpu").dumps())
    rng = np.random.default_rng(0)
    model, weights, _ = network(rng, (64, 96, 64), signal=8.0)
    onnx.save(model, folder / "noisy.onnx")
    onnx.save(model, folder / "ext.onnx", location="ext.bin", **external)
    (folder / "ext.json").write_text(scission.plan(folder / "ext.onnx", force=True, provider="cpu").dumps())
    onnx.save(network(np.random.default_rng(1), (64, 96, 64))[0], folder / "init.onnx", location="init.bin", **external)
    model = model_of(W)
    onnx.save(model, folder / "hub.onnx", location="hub.bin", **external)
    model = model_of(W)
    onnx.save(model, folder / "in_it.onnx", location="it.bin", **external)
    for name in ("blobs", "seen", "cache"):
        (folder / name).mkdir()
    for name in ("hub.onnx", "hub.bin"):
        (folder / name).rename(folder / "blobs" / f"1f{name}")
        (folder / "seen" / name).symlink_to(folder / "blobs" / f"1f{name}")
    x = rng.standard_normal((40, 64)).astype(np.float32)
    np.savez(folder / "calib.npz", x=x)
    np.savez(folder / "x.npz", x=np.ones((2, len(W)), np.float32))
    np.save(folder / "labels.npy", np.zeros(40, np.int64))
    np.save(folder / "w.npy", W[:30])
    np.savez(folder / "start.npz", **{f"W{place}": weight for place, weight in enumerate(weights)})
    (folder / "own.py").write_text("def worth(outputs, reference, labels):\n    return 1.0\n")
    (folder / "ops.so").write_bytes(b"\x7fELF")
    (folder / "cache" / "tuning.json").write_text('{"schema": 3, "entries": {}}')
    return folder


def contents(folder):
    """Every file in a folder and below: its number, its mode, where it leads or what it holds."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_ino,
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def only_regular(folder, call, form, what):
    """What is wrong with how something strange in the place of a file is read, '' where it is refused in one line.

    call: runs a command line in the folder, to (status, what it printed, what it said).
    """
    line = READERS[what]
    name = next((word for word in line.split() if word.startswith("it.")), "it.bin")
    (folder / name).unlink(missing_ok=True)
    before = known(strange(form, folder / name))
    status, out, err = call(line)
    wrong = refused(status, out, err, name)
    if name == "it.bin" and form == "sparse":  # a weight that is not read is left alone, and the plan says why
        wrong = "" if not status and "holes" in out else wrong
    if known(folder / name) != before:
        wrong = f"it is {known(folder / name)} and was {before}"
    (folder / name).rmdir() if form == "folder" else (folder / name).unlink()
    return wrong


def refused(status, out, err, *words):
    """What is wrong with how a command refuses something; '' where that is status 2, one line, and nothing else."""
    fine = status == 2 and not out and err.startswith("error: ") and err.count("\n") == 1
    return "" if fine and any(word in err for word in words) else f"status {status}, {(out + err)[-300:]!r}"


def never_over(folder, call, line, victim, way):
    """What is wrong with how a command treats an output that is one of its inputs, by another name or its own."""
    suffix, before = OUTPUTS[line][0], contents(folder)
    made = folder / f"other{suffix}{'.data' if way == 'data' else ''}"
    if way == "itself" and not suffix:
        made = folder / victim
    elif way == "link":
        made.symlink_to(folder / victim)
    else:
        os.link((folder / victim).resolve(), made)
    target = str(made.relative_to(folder)).removesuffix(".data" if way == "data" else " ")
    told = call(f"{line.format(target)} --overwrite")
    wrong = refused(*told, "is the input itself", "holds the weights of", "is a link")
    if way != "itself" or suffix:
        made.unlink()
    return wrong or ("" if contents(folder) == before else "an input is another")


def never_to(folder, call, line, form):
    """What is wrong with how a command treats an output that is no file to write to."""
    made = folder / f"out{OUTPUTS[line][0]}"
    before = known(strange(form, made)) if form != "a link" else made.symlink_to(folder / "fresh") or known(made)
    if form == "a link":
        (folder / "fresh").write_bytes(b"old")
    status, out, err = call(f"{line.format(made.name)} --overwrite")
    wrong = refused(status, out, err, made.name)
    if known(made) != before or (form == "a link" and (folder / "fresh").read_bytes() != b"old"):
        wrong = f"{form}: it is another"
    shutil.rmtree(made) if form == "folder" else made.unlink()
    (folder / "fresh").unlink(missing_ok=True)
    return wrong
