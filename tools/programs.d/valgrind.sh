# what: a leak found
# packages: valgrind gcc libc6-dev
# timeout: 200
# prepare
printf '#include <stdlib.h>\nint main(void) { char *p = malloc(10); p[0] = 1; return p[0] - 1; }\n' >p.c
# run
gcc -g -o p p.c; valgrind -q --leak-check=full ./p 2>&1 | grep -c 'definitely lost'; rm p
