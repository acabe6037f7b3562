# what: a virtual environment, pip without network, compiled modules
# packages: python3-venv
# timeout: 200
# ignore: __pycache__
# prepare
mkdir pkg; printf '[project]\nname = "demo"\nversion = "1"\n[project.scripts]\ndemo = "demo:main"\n[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n' >pkg/pyproject.toml
echo 'def main(): print("demo runs")' >pkg/demo.py
# run
python3 -m venv --system-site-packages e; e/bin/pip install -q --no-build-isolation --no-index --no-deps ./pkg 2>/dev/null || echo no setuptools; e/bin/demo 2>/dev/null || :
e/bin/python -c 'import sys; print(sys.prefix.endswith("/e"))'; python3 -m compileall -q pkg; rm -rf e pkg/build pkg/*.egg-info pkg/__pycache__
