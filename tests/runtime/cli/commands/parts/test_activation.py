import json

import numpy as np
from shell import FAST


def test_what_data_activate_is_counted_and_parts_are_put_together_by_it(folder, scission_cli):
    assert scission_cli(f"partition in.onnx -o parts -q {FAST}") == (0, "", "")
    (given,) = json.loads((folder / "parts" / "manifest.json").read_text())["inputs"]
    shape = [4 if isinstance(extent, str) or extent is None else extent for extent in given["shape"]]
    np.savez(folder / "data.npz", **{given["name"]: np.eye(*shape, dtype=np.float32)})
    status, out, err = scission_cli(f"activation parts data.npz --off {given['name']}=0")
    assert (status, err) == (0, "") and "4 rows" in out and (folder / "parts" / "activation.json").exists()
    status, out, err = scission_cli("activation parts data.npz --off 3")
    assert status == 2 and "--off" in err
    assert scission_cli(f"partition in.onnx -o few --parts 1 --data data.npz -q {FAST}") == (0, "", "")
    assert len(json.loads((folder / "few" / "activation.json").read_text())["parts"]) == 1
    status, out, err = scission_cli(f"partition in.onnx -o both --parts 2 --shards 2 {FAST}")
    assert (status, out) == (2, "") and "leave out one" in err
