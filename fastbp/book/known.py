"""The known forms of the book's definitions, by digests of their syntax trees; none of the book's code is here.

They were taken from public repositories: both editions' own, several commits of each, and their readers' copies. Where
editions differ in what they compute their forms differ too, and so does what stands in for them.
"""

import argparse
import json
import os
from functools import cache
from pathlib import Path

from fastbp.book.syntax import digests

# The modules that can be replaced, by the package that they are imported from.
MODULES = {
    "common": (
        *("functions", "gradient", "layers", "multi_layer_net", "multi_layer_net_extend"),
        *("optimizer", "trainer", "util"),
    ),
    "dataset": ("mnist",),
}

# What stands in under a dialect, where that is nothing of the definition's own name.
OF_DIALECT: dict[str, dict[str, str]] = {
    "ko": {"optimizer.Nesterov": "ko.Nesterov"},
    "ja": {"optimizer.Nesterov": "optimizer.Nesterov"},
}

# By module and definition: the digests (`syntax.digest`) of its forms.
FORMS: dict[str, dict[str, str]] = {
    "layers": {
        "Relu": "ca69fecbe7114674",
        "Sigmoid": "b1341278f55ac886",
        "Affine": "fec510fd37615158",
        "SoftmaxWithLoss": "fa07323ef585669b",
        "Dropout": "d186c8aa31ef343a",
        "BatchNormalization": "e02f0f4aa18ad2e2",
        "Convolution": "bf7f66463c77baa7",
        "Pooling": "ae0b34e66ba83cf2 7a47385989885487",
    },
    "functions": {
        "identity_function": "b5959ef2d4cea20a",
        "step_function": "6d40cf4b506a536f a6aefa8c6596ca14 10b84c1e99637220 9c2e1acaea344a1e 7f390ba4c4598755",
        "sigmoid": "5047d1f5b17c0d37",
        "sigmoid_grad": "8d3d2ed5ec915ea8",
        "relu": "9dd2445d5e5b587d",
        "relu_grad": "db45a9c3e7e2c42e 155b2f1c730a2a74 96f66049b37d7749",
        "softmax": "d0e9848bf51a2e17 6a910a856b9dfb0c",
        "sum_squared_error": "91ccdda22df1ad1e",
        "cross_entropy_error": "8849842bee4bbb15",
        "softmax_loss": "217f95b1fc023cb5",
        "mean_squared_error": "0c288e3e3a5475fe",
        "squared_error": "9c846bd149c3cf2e",
    },
    "gradient": {
        "_numerical_gradient_1d": "34e76f6206edd894 201912aaf7445c92",
        "numerical_gradient_2d": "5baa0fcb5967665f",
        "numerical_gradient": "38c65b628131993b f0efebeab878a4f2",
    },
    "optimizer": {
        "SGD": "fd19c490e36c89d4",
        "Momentum": "9e635be415aeb29f",
        "Nesterov": "a1f4c454b14b0320 5a8584a39b56b160",
        "AdaGrad": "6286cdcecb20c646",
        "RMSprop": "b0a6ca9f5f0e1442",
        "Adam": "134b282aa30ee7f1",
    },
    "trainer": {
        "Trainer": "bcc2d8696f8a8e22 232d97ecbb278d64",
    },
    "util": {
        "smooth_curve": "facb83c9ebae9281",
        "shuffle_dataset": "5746cdfd320418af",
        "conv_output_size": "d47338807c444718",
        "im2col": "8816271ab0f5161d",
        "col2im": "3b221184a0fd5aa8",
    },
    "multi_layer_net": {
        "MultiLayerNet": "2fa6eba3ee819563 fc58afd20eab85d0",
    },
    "multi_layer_net_extend": {
        "MultiLayerNetExtend": "ad1806a73f434bc3",
    },
    "mnist": {
        "url_base": "3e2b92e974e06fd2 61afa8b034749a8c 71541542f97709d9 ddb8cdaa24adfe30 "
        "7eb785ee53bcaf97 118ae7265500e63e",
        "key_file": "22fa7cbda46b1d88",
        "dataset_dir": "e4d30856ea2cc807",
        "save_file": "287c91ea23731104",
        "train_num": "7474e34f7fde240c",
        "test_num": "83954be3a0cb5b20",
        "img_dim": "186113d0afb6b55f",
        "img_size": "d514dddffd491b23",
        "_download": "c92ce6cac1467705",
        "download_mnist": "cd109a55122343b3",
        "_load_label": "c89fde3fd98545fd",
        "_load_img": "e4b3758cf42ca316",
        "_convert_numpy": "3d4807207ad13a3b",
        "init_mnist": "561a3b0897ecdfeb",
        "_change_one_hot_label": "4fe794a56488532e",
        "load_mnist": "fc56e43792f162f6 14654ff4cd18f08d",
        "_change_ont_hot_label": "aeab572982e9f2d1",
    },
}

# What stands in for a form, where that is nothing of the definition's own name: in fastbp.book.
STAND_INS: dict[str, str] = {
    "7a47385989885487": "ko.Pooling",
    "5a8584a39b56b160": "ko.Nesterov",
}


@cache
def forms(module: str) -> dict[str, dict[str, str]]:
    """What stands in for each known form of a module's definitions: by name and digest; "" for what only others use.

    Those above, and those of the JSON file that FASTBP_BOOK_FORMS names, in which an owner says of a `common` in other
    words that it is the book's: `python -m fastbp.book.known FOLDER > FILE` writes it. ValueError naming the file when
    it isn't there or holds anything else.
    """
    found = {
        name: {digest: _stand_in(module, name, digest) for digest in known.split()}
        for name, known in FORMS[module].items()
    }
    path = os.environ.get("FASTBP_BOOK_FORMS")
    for name, known in (_own_forms(path).get(module, {}) if path else {}).items():
        found.setdefault(name, {}).update(known)
    return found


def _stand_in(module: str, name: str, digest: str) -> str:
    return "" if module == "mnist" and name != "load_mnist" else STAND_INS.get(digest, f"{module}.{name}")


@cache
def _own_forms(path: str) -> dict[str, dict[str, dict[str, str]]]:
    try:
        own = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            str(module): {str(name): {str(d): str(s) for d, s in known.items()} for name, known in names.items()}
            for module, names in own.items()
        }
    except OSError as error:
        raise ValueError(f"FASTBP_BOOK_FORMS={path} can't be read: {error.strerror}") from None
    except (ValueError, AttributeError) as error:
        raise ValueError(f"FASTBP_BOOK_FORMS={path} holds no forms of definitions: {error}") from None


def forms_of(folder: str | os.PathLike[str], dialect: str = "ja") -> dict[str, dict[str, dict[str, str]]]:
    """The forms of all the book's definitions in a folder, `common` or `dataset`, as such a file has them.

    OSError when there is none of the book's modules, SyntaxError when one is no Python.
    """
    files = {module: Path(folder, f"{module}.py") for modules in MODULES.values() for module in modules}
    found: dict[str, dict[str, dict[str, str]]] = {}
    for module, file in files.items():
        if file.exists():
            found[module] = {}
            for name, digest in digests(file.read_text(encoding="utf-8")).items():
                stand_in = OF_DIALECT[dialect].get(f"{module}.{name}", _stand_in(module, name, digest))
                if name in FORMS[module] or not stand_in:
                    found[module][name] = {digest: stand_in}
    if not found:
        raise FileNotFoundError(f"{folder} has none of the book's modules: {', '.join(files)}")
    return found


def main() -> None:
    """Prints the forms of a folder; of what can't be read it says why, in a line, and ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m fastbp.book.known",
        description="Print the forms of the book's definitions in a folder as JSON, for the file that the environment "
        "variable FASTBP_BOOK_FORMS names: fastbp then takes them for the book's.",
    )
    parser.add_argument("folder", help="one folder of the book's modules, common or dataset")
    parser.add_argument(
        "dialect", nargs="?", default="ja", choices=sorted(OF_DIALECT), help="the edition (%(default)s)"
    )
    given = parser.parse_args()
    try:
        found = forms_of(given.folder, given.dialect)
    except (OSError, SyntaxError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
