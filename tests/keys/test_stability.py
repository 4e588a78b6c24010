"""Digests that users have stored: the same in every process and release.

Where one of these must change, the number in ``FORM`` (src/core/keys/digest.rs) is raised and
the changelog says so.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from nexus_core.keys import hexdigest, key_of

EXPRESSIONS = {
    "None": "4cdbeeb6efe14565da8ca2d8e0502b15441181b1389f848c8d7bebfb4ea1f9a8",
    "True": "743052af98d2be59e15b3f02f967c58e9ae7afcbc4be44ae200f59477701766f",
    "0": "f34c2b0d5807ca8427e39eaf15a109df3ca329a996854cd9e607a0ff359b1554",
    "1": "c5d802512d5edcc66cbbc44ce9ac6d3966f6c4f8d2a4f1b7ea2bf9c2037ae4d4",
    "-1": "dc76ca4d11920703f710e0bc7917dd19a34800664465fe7e242d9ace5ed33c34",
    "2**64": "ac943c46b985d67458b60e64d04369579a83f7719de3834b3f4f51203a2b8284",
    "-(2**100)": "f4afdca7ee0c62e2e77bf982dab1f27cb7b620a80860d66325ed3c736b88437f",
    "1.5": "edd338bfdec6d1011a0f705f9132a449f756f02b3f3799bb9954f8ca2fc80c5d",
    "-0.0": "c08e5ce26f331980fdf65d316d1142a8fba34aee4f94ddefba749d603c037253",
    "float('nan')": "0608ced8a150d27ee5c5669e4d46f104229a54fe8294f1a7916407e7790eeb46",
    "1j": "a4065fa10d01f6185cad742753d5e678707c78b943345accf18b055224ae8594",
    "''": "6c9d4680ef45fc322a4f6582593fd5208d578235679452c5dec251147320c993",
    "'text'": "9740c0bd9bde188cd7a11a710600f01355af773bf9f09ca8201c4815d2a096fe",
    "'\\u00e9\\u0100'": "1bc5c324c0a8aa1782da0528be007257f6ca27733c495c53c9623c2fb6ac474b",
    "'\\U0001f600'": "98491b5fa46b1d97b39e13e52544c6fb24c5374740913914eb52325fcf7b0231",
    "'\\ud800'": "b741fea5d8cb9d69a284ec081b44f5ce7207e79e9cc587170ba951ecc1d63a12",
    "b'bytes'": "c1fcfc2476bbc2cbcde04651a63cca87b4dfac5bbd0deef4b9deda18cc1c9725",
    "bytearray(b'bytes')": "710fb3e81710f41d765ff369e664e8bf9ffc029398a121f5cb0b99897ced2db0",
    "memoryview(b'bytes')": "0f48864408bbf119594e466ae6a7aed8afc42ced1e3f0a06c42c9655c724cf70",
    "[]": "475a90226153a41f841eded1cca9d590819b6858f88b786590285727bf5ab6a2",
    "[1, [2.0, ('3',)]]": "9c0aa02737ff3c56975a45ee5e3009560117d2f95cfdebceb73e415b71f32174",
    "{'b': 1, 'a': [None]}": "cd88ed70e469c9adefc8fddfcd3ff973f09f2774648aedc67d64e684776b28e0",
    "{1: 'a', None: 'b', 'c': {}}": "c6065905476fa329a30bfd5c4a20d3a8aa64b227479e73c001e74b7c652dfd9d",
    "{1, 'a', None}": "30b062260fcbe963bc4904fa94162c50c6e3ba3db1fe79cb2ff030768f410659",
    "frozenset({(1, 2)})": "532f78c7230873ef083c62410ea4987b68b0b6e8f671fedb49650faf53217fa4",
    "dt.date(2026, 11, 28)": "67b568c8e4b73ea59a5ff96e071e288e2a08e9fd3eb6f3a7c39c6625b83cce14",
    "dt.datetime(2026, 11, 28, 7, 36, tzinfo=dt.UTC)": "ec7f66326574c400cc255060357217e246544f5885092cea40517910f541be62",
    "dt.datetime(2026, 11, 28, tzinfo=ZoneInfo('Europe/Berlin'))": "122ba0432710f56b65c335edaf34b62cab723413fba77fed849f7f60ff12568f",
    "dt.time(7, 36)": "59772ef60c84a5364738477edfc1761acc26569ea37155301394e157a212cfe3",
    "dt.timedelta(1, 2, 3)": "8959e2b9c15ff140abfb2b2da24c9d8ed6a4ba39bb3a09517454ba2a6c99fcf4",
    "Decimal('1.50')": "e904d9c8dcc1dfb638a652b14bdd6b6c31380241550ee94201972213d06c3dc0",
    "Fraction(1, 3)": "81e8603aed0b44bc1a9fe5d2b7ad9cfc68df7cb94e57b1efc319c79c7eb2d2ea",
    "UUID(int=7)": "70ac1193c3d286b73c9cf83dfb13775dca4ce11fdb9bbd7ee9206a9be293423a",
    "pathlib.PurePosixPath('a/b')": "1f32c4f9c1ed08e79ace397eee22fad3bbcb3aed0ea55cf8bf8bdbaa19118a78",
    "range(3)": "ba7026fc2d3d6979e9845137528273733e64d60cc710c2d3b27364b6ad627608",
    "b'0123456789abcdef' * 10_000": "3ca53b447dd44a88bd74264005a566ee17b8fe4a1e1b25fa8aa3743bb0df66d2",
    "list(range(10_000))": "d7de2367faa00ae9039a8f4016007cf8d55cf9231455add0eba8a08287edc401",
    "np.int64(1)": "ab3e53cab1bd04fbad98bcf2766686891615d4eaf47390e5a172a9de11917cd6",
    "np.arange(6, dtype='<i4').reshape(2, 3)": "7052ae3e958d8f752deadd8fe5b70f41a03d452d40926e27db74f9dfc85ccb89",
    "np.array([1.5, float('nan')])": "bd0599e17f81f3fa1821c143fbf3f043380e31ecf1198581ca487002575b240a",
    "np.array(['a', None, 1], dtype=object)": "f59a98de873c5e99576dbda17e6628ffe09fb3d484d6b7e8e1aa2946f165d3ce",
    "np.array(['2026-11-28'], dtype='datetime64[D]')": "0e349a3a8a30fcc6206709c7be051bd84af686f7806df5a8cf053ee8cb71ab83",
    "pd.Series([1, 2], name='a')": "4c8a2ae61de84bab6c7f08adb1919995638b16e8e5dca7771bada78f2b35c985",
    "pd.DataFrame({'a': [1.5, 2.5], 'b': ['x', 'y']}, dtype=object)": "e422e87e86a5ba064a76788b9e4ed3c9ea5648d64a606cf5b0e072dd23d4733b",
    "pd.Timestamp('2026-11-28', tz='UTC')": "962c8aa32a9733ca9ab6e27c049fd2af0fd91eac275574bf021f27c9d97c48f8",
}


def _value(expression: str) -> Any:
    import datetime as dt
    import pathlib
    from decimal import Decimal
    from fractions import Fraction
    from uuid import UUID
    from zoneinfo import ZoneInfo

    names = {
        "dt": dt,
        "pathlib": pathlib,
        "Decimal": Decimal,
        "Fraction": Fraction,
        "UUID": UUID,
        "ZoneInfo": ZoneInfo,
    }
    if "np." in expression or "pd." in expression:
        names["np"] = pytest.importorskip("numpy")
        names["pd"] = pytest.importorskip("pandas")
    return eval(expression, names)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_digest_is_what_it_was(expression: str) -> None:
    assert hexdigest(_value(expression)) == EXPRESSIONS[expression]


def test_key_of_a_run_is_what_it_was() -> None:
    key = key_of("workflow", {"a": [1, 2.5, "x"]}, {"node": {"b": None}})
    assert key.hex() == "2778a468e90802733ea033b5e9c1cebcd6b771ddf670644036bdeffa8515dbef"


_IN_A_PROCESS = """
from nexus_core.keys import hexdigest
names = {f"name {number}" for number in range(100)}
print(hexdigest({"set": names, "dict": {name: {name, (name, 1)} for name in names}, "mixed": {n: 1 for n in [*names, 1, None]}}))
"""


def test_digest_does_not_depend_on_the_process_or_its_hash_seed() -> None:
    import os

    found = set()
    for seed in ("0", "1", "2", "random"):
        done = subprocess.run(
            [sys.executable, "-c", _IN_A_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
