# what: meson with ninja
# packages: gcc g++ meson ninja-build
meson setup obj --prefix=/usr
ninja -C obj -j1
DESTDIR="$PWD/stage" meson install -C obj
