# what: forty objects by make -j2, then one header changed
# packages: make gcc libc6-dev
# prepare
for i in $(seq 40); do echo "#include \"h.h\"
int f$i(void) { return N + $i; }" >f$i.c; done; echo '#define N 1' >h.h; echo 'int f1(void); int main(void) { return f1() - 2; }' >main.c
printf 'O=$(patsubst %%.c,%%.o,$(wildcard *.c))\np: $O\n\tgcc -o $@ $O\n%%.o: %%.c h.h\n\tgcc -c -o $@ $<\n' >Makefile
# run
make -s -j2; ./p; make -q && echo up to date; touch -d '+1 minute' h.h; make -s -j2 2>/dev/null; ./p; make -n | wc -l; rm -f *.o p; touch -d @1 h.h
