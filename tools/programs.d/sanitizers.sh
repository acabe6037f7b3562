# what: ASan finds a use after free, TSan a race, LSan a leak
# packages: gcc libc6-dev
# traps: notify
# prepare
printf '#include <stdlib.h>\nint main(void) { char *p = malloc(10); free(p); return p[0]; }\n' >a.c
printf '#include <pthread.h>\nint x; void *f(void *p) { x++; return p; }\nint main(void) { pthread_t t; pthread_create(&t, 0, f, 0); x++; pthread_join(t, 0); return 0; }\n' >t.c
printf '#include <stdlib.h>\nint main(void) { volatile char *p = malloc(10); p = 0; return p != 0; }\n' >l.c
# run
gcc -fsanitize=address -g -o a a.c; ./a 2>&1 | grep -c heap-use-after-free; gcc -fsanitize=address -g -o l l.c; ./l 2>&1 | grep -c 'detected memory leaks'
gcc -fsanitize=thread -g -o t t.c; setarch -R ./t 2>&1 | grep -c 'data race' | sed 's/[1-9].*/some/'; rm a l t
