"""A manual that says when it was made."""

import datetime

project = "own"
project_copyright = f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}, nobody"
html_last_updated_fmt = "%Y-%m-%d %H:%M:%S"
