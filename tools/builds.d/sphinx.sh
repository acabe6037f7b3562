# what: a manual by Sphinx as HTML, with its index of objects
# packages: python3-sphinx
mkdir stage
sphinx-build -q -b html ${docs-docs} stage/html
