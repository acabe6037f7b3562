# what: a project set up, compiled and tested
# packages: meson ninja-build gcc libc6-dev
# timeout: 200
# prepare
printf "project('p', 'c')\ne = executable('p', 'p.c')\ntest('t', e)\n" >meson.build; echo 'int main(void) { return 0; }' >p.c
# run
meson setup b >/dev/null; meson compile -C b >/dev/null; meson test -C b --no-rebuild | grep -E '^(Ok|Fail)'; rm -rf b
