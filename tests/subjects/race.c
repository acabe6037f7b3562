/* race.c - subject: one thread rewrites the path while others use it; every answer must be one of the two.
 *
 * The path flips between file (in the tree) and dir/b.  Whatever is opened for writing must get the mark, and a
 * name that exists on neither side must never be made.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 3000
static _Atomic int stop;
static char shared[64];
static const char *const names[] = {"dir/./a", "dir/./b", "nope/.a"};

static void *flip(void *arg) {
    (void)arg;
    for (unsigned i = 0; !stop; i++)
        memcpy(shared, names[i % 3], 8);
    return NULL;
}

static void count(long result, unsigned *good, unsigned *other) {
    if (result >= 0 || result == -ENOENT)
        ++*good;
    else
        ++*other;
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    pthread_t thread;
    memcpy(shared, names[0], 8);
    if (pthread_create(&thread, NULL, flip, NULL) != 0)
        give_up("thread");
    unsigned good = 0, other = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct stat st;
        long fd = SYS(openat, AT_FDCWD, shared, O_RDWR | O_CREAT, 0644);
        count(fd, &good, &other);
        if (fd >= 0) {
            (void)SYS(write, fd, "x", 1);
            (void)SYS(close, fd);
        }
        count(SYS(newfstatat, AT_FDCWD, shared, &st, 0), &good, &other);
        count(SYS(chmod, shared, 0640), &good, &other);
        count(SYS(chdir, "."), &good, &other);
    }
    stop = 1;
    (void)pthread_join(thread, NULL);
    say_text("answers", text("%u of %d, other %u", good, 4 * ROUNDS, other));
    show_list("dir holds", "dir");
    show("dir/a", "dir/a");
    show("nope", "nope");
    return 0;
}
