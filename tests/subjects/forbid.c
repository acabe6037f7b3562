/* forbid.c - runs a command in which some system calls fail, as container profiles make them: `forbid CALL,… CMD…`.
 * CALL is NUMBER=ERRNO, or NUMBER:REQUEST=ERRNO for those whose second argument is REQUEST, or NUMBER.N:VALUE=ERRNO for those
 * whose argument N, from 0, is VALUE.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PER_CALL 5
#define CALLS 16

/* A request is compared as the kernel takes it: its low 32 bits. */
static size_t add(struct sock_filter *at, char **text) {
    unsigned nr = (unsigned)strtoul(*text, text, 0);
    unsigned arg = **text == '.' ? (unsigned)strtoul(*text + 1, text, 10) % 6 : 1;
    int has_request = **text == ':';
    unsigned request = has_request ? (unsigned)strtoul(*text + 1, text, 0) : 0;
    unsigned error = **text == '=' ? (unsigned)strtoul(*text + 1, text, 0) : 0;
    struct sock_filter code[PER_CALL] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offsetof(struct seccomp_data, args) + arg * sizeof(__u64))),
        BPF_JUMP(BPF_JMP | (has_request ? BPF_JEQ : BPF_JGE) | BPF_K, request, 0, 1), /* none: all are ≥ 0 */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
    };
    for (size_t i = 0; i < PER_CALL; i++)
        at[i] = code[i];
    return error ? PER_CALL : 0;
}

int main(int argc, char **argv) {
    struct sock_filter filter[CALLS * PER_CALL + 1];
    size_t n = 0;
    if (argc < 3)
        return 120;
    for (char *text = argv[1]; *text;) {
        size_t added = n < CALLS * PER_CALL ? add(&filter[n], &text) : 0;
        if (!added || (*text && *text++ != ','))
            return 120;
        n += added;
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)n, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("forbid");
        return 120;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 120;
}
