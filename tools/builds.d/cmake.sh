# what: cmake with make
# packages: gcc g++ make cmake
cmake -S . -B obj ${options-} -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_BUILD_TYPE=RelWithDebInfo
cmake --build obj
DESTDIR="$PWD/stage" cmake --install obj
