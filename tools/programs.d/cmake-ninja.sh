# what: a project configured, built and installed
# packages: cmake ninja-build g++
# timeout: 200
# prepare
printf 'cmake_minimum_required(VERSION 3.20)\nproject(p CXX)\nadd_library(l STATIC l.cc)\nadd_executable(p main.cc)\ntarget_link_libraries(p l)\ninstall(TARGETS p)\n' >CMakeLists.txt
echo 'int l() { return 42; }' >l.cc; printf '#include <iostream>\nint l();\nint main() { std::cout << l() << std::endl; }\n' >main.cc
# run
cmake -S . -B b -G Ninja -DCMAKE_INSTALL_PREFIX=$PWD/i >/dev/null; ninja -C b >/dev/null; b/p; ninja -C b install >/dev/null; i/bin/p; ninja -C b | tail -1; rm -rf b i
