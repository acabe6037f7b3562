# what: a program and its children followed
# packages: strace gcc libc6-dev
# traps: notify
# prepare
echo 'int main(void) { return 3; }' >p.c
# run
gcc -o p p.c; strace -f -o log -e trace=execve sh -c './p; ./p; echo done' ; grep -c '^[0-9]* *execve("./p"' log; rm p log
