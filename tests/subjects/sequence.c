/* sequence.c - a process that spins in restartable sequences while a file that it has open is copied up: `sequence FILE`.
 *
 * A sequence ends only by being aborted, which the kernel does whenever the process was interrupted in one, here by a
 * signal.  One that the kernel knows nothing of any more never ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/wait.h>
#include <unistd.h>

struct shared {
    atomic_bool begun, done;
};

static void spin_until_aborted(void) {
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
    __asm__ goto(".pushsection __rseq_cs, \"aw\"\n"
                 ".balign 32\n"
                 "3: .long 0, 0\n"
                 ".quad 1f, 2f - 1f, 4f\n"
                 ".popsection\n"
                 "leaq 3b(%%rip), %%rax\n"
                 "movq %%rax, %0\n"
                 "1: jmp 1b\n"
                 "2:\n"
                 ".pushsection __rseq_failure, \"ax\"\n"
                 ".byte 0x0f, 0xb9, 0x3d\n"
                 ".long 0x53053053\n" /* RSEQ_SIG */
                 "4: jmp %l[aborted]\n"
                 ".popsection\n"
                 :
                 : "m"(area->rseq_cs)
                 : "rax", "memory"
                 : aborted);
aborted:
    return;
}

static void interrupt(int signal) {
    (void)signal;
}

static int spin(struct shared *shared) {
    shared->begun = true;
    while (!shared->done)
        spin_until_aborted();
    return 0;
}

int main(int argc, char **argv) {
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status, fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    char byte;
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    if (sigaction(SIGUSR1, &action, NULL) < 0 || shared == MAP_FAILED || fd < 0 || __rseq_size == 0)
        return 2;
    pid_t pid = fork();
    if (pid == 0)
        return spin(shared);
    while (!shared->begun)
        usleep(1000);
    int out = open(argv[1], O_WRONLY | O_TRUNC | O_CLOEXEC);
    shared->done = true;
    (void)kill(pid, SIGUSR1);
    if (pid < 0 || out < 0 || waitpid(pid, &status, 0) != pid)
        return 2;
    printf("%d %zd\n", status, read(fd, &byte, 1));
    return 0;
}
