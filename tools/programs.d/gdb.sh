# what: a break point, a backtrace, a value
# packages: gdb gcc libc6-dev
# traps: notify
# prepare
printf '#include <stdio.h>\nint f(int x) { return x * 2; }\nint main(void) { printf("%%d\\n", f(21)); return 0; }\n' >p.c
# run
gcc -g -O0 -o p p.c; gdb -q -nx -batch -ex 'break f' -ex run -ex bt -ex 'print x' -ex finish -ex continue ./p 2>&1 | grep -E '^(#|\$|42|Value)' | sed 's/0x[0-9a-f]*//'; rm p
