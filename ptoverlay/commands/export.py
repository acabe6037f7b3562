"""Write what a sandbox has changed as a tar archive, or as an image layout for tools that run containers.

The end of FILE's name says how it is compressed: .tar, .tar.gz or .tgz, .tar.zst. - is standard output.

--format oci (default): a layer of an OCI image: whiteouts are files .wh.NAME, opaque directories hold .wh..wh..opq.
--format overlayfs: the upper as it is, for the kernel's overlayfs; tar --xattrs --xattrs-include='*' unpacks it.
--oci-layout DIR: an image: one layer for each sandbox that NAME was forked from, its own on top.
--reproducible: sorted as always, no time later than SOURCE_DATE_EPOCH (0 when it is not set), all owners 0:0.

Exit status: 0; 125 trouble, and then FILE is as it was.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial

from ptoverlay import errors
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import write
from ptoverlay.errors import Failure
from ptoverlay.history.fold import flattened
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.ship import export
from ptoverlay.ship.image import write_image
from ptoverlay.ship.output import COMPRESSIONS, Archive, compression_of, write_archive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-o", "--output", metavar="FILE", help="the archive; - is standard output")
    where.add_argument("--oci-layout", metavar="DIR", help="an image layout, made if it is missing")
    parser.add_argument("--tag", default="latest", help="name of the image in the layout (default: latest)")
    parser.add_argument("--format", choices=export.FORMATS, default="oci", help="default: oci")
    parser.add_argument("--compress", choices=COMPRESSIONS, help="default: by FILE's name; gzip in a layout")
    parser.add_argument("--reproducible", action="store_true", help="the same changes give the same bytes")
    parser.add_argument("--json", action="store_true", help="an object that tells digests and size")


def run(options: argparse.Namespace) -> int:
    box = sandbox.the_only_word(options)
    if options.oci_layout and options.format != "oci":
        raise Failure("--oci-layout", f"an image has no layers of format {options.format}")
    how = export.Style.of(options.format, reproducible=options.reproducible)
    name = options.oci_layout or ("standard output" if options.output == "-" else options.output)
    told: dict[str, object] = {"name": name, "format": how.format}
    try:
        with box.lock():
            if options.oci_layout:
                told["manifest"] = write_image(box.chain(), options.oci_layout, options.tag,
                                               options.compress or "gzip", how, partial(bar, "export"))
            else:
                told.update(asdict(_archive(box, options, how)))
    except OSError as error:
        raise errors.from_os_error(f"{box}: export: {error.filename or name}", error) from error
    if options.json and options.output != "-":
        write(json.dumps(told, indent=1) + "\n")
    return 0


def _archive(box: Sandbox, options: argparse.Namespace, how: export.Style) -> Archive:
    compression = options.compress or compression_of(options.output)
    with flattened(box) as flat, flat.view() as view, bar("export", export.size(flat, view.show_faked())) as advance:
        return write_archive(options.output, compression,
                             partial(export.write, flat, view, options=how, advance=advance))
