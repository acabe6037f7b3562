# what: a wheel by setuptools, and the modules installed with their .pyc
# packages: python3-setuptools python3-wheel
python3 setup.py bdist_wheel -d stage
python3 setup.py install --root=stage --prefix=/usr
