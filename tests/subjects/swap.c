/* swap.c - subject: threads write to d/f while others put a symlink to another directory in the place of d.
 *
 * In the directory of argv[1] there are d/f, which is made here, and t/f, which is there.  The symlink is absolute, so that a
 * layer's own path, if it were followed, would lead to the host's t/f.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 3
static _Atomic int stop;
static const char *target;

static void *swap(void *arg) {
    long rounds = (long)arg;
    for (long i = 0; i < rounds; i++) {
        (void)SYS(rename, "d", "e");
        (void)SYS(symlink, target, "d");
        (void)SYS(unlink, "d");
        (void)SYS(rename, "e", "d");
    }
    stop = 1;
    return NULL;
}

static void *writer(void *arg) {
    unsigned *wrong = arg;
    while (!stop) {
        long fd = SYS(openat, AT_FDCWD, "d/f", O_WRONLY | O_APPEND);
        if (fd < 0) {
            *wrong += fd != -ENOENT;
            continue;
        }
        (void)SYS(write, fd, "x", 1);
        (void)SYS(close, fd);
    }
    return NULL;
}

int main(int argc, char **argv) {
    const char *base = subject_start(argc, argv);
    pthread_t threads[WRITERS + 1];
    unsigned wrong[WRITERS] = {0}, others = 0;
    target = keep(text("%s/t", base));
    if (SYS(mkdir, "d", 0755) != 0 || put("d/f", "d") != 1)
        give_up("d");
    if (pthread_create(&threads[WRITERS], NULL, swap, (void *)(argc > 2 ? atol(argv[2]) : 1000)) != 0)
        give_up("thread");
    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&threads[i], NULL, writer, &wrong[i]) != 0)
            give_up("thread");
    for (int i = 0; i <= WRITERS; i++)
        (void)pthread_join(threads[i], NULL);
    for (int i = 0; i < WRITERS; i++)
        others += wrong[i];
    (void)say("other errors", others);
    show("d", "d");
    show_list("holds", ".");
    return 0;
}
