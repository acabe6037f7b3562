/* adversary.c - a hostile program: turns what calls are given while the supervisor looks at it (adversary.h).
 *
 * adversary ways [PATTERN…]              the ways, one a line
 * adversary lay DIR BESIDE [PATTERN…]    what the lower holds: a directory a way, named like it
 * adversary run VIEW BESIDE SHM CALLS SEED [PATTERN…]
 *                                        CALLS calls, spread over the ways in an order that follows from SEED; for each
 *                                        way a line with the calls that were made and those that did not fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "adversary.h"
#include "adversary_calls.h"
#include "adversary_flips.h"

#include <fnmatch.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

enum { A_WAY = 30, N_FLIPS = sizeof flips / sizeof *flips, N_CALLS = sizeof hostiles / sizeof *hostiles };

struct way {
    char name[64];
    const struct flip *flip;
    const struct hostile *call;
};
static struct way ways[N_FLIPS * N_CALLS];
static size_t n_ways;

static bool is_asked_for(const char *name, char **patterns) {
    bool found = !*patterns;
    for (; *patterns; patterns++)
        found = found || fnmatch(*patterns, name, 0) == 0;
    return found;
}

static void list_ways(char **patterns) {
    for (const struct flip *flip = flips; flip < flips + N_FLIPS; flip++)
        for (const struct hostile *call = hostiles; call < hostiles + N_CALLS; call++) {
            struct way way = {.flip = flip, .call = call};
            if (!(flip->forms & call->forms) || !(flip->wants & call->want))
                continue;
            (void)snprintf(way.name, sizeof way.name, "%s.%s", flip->name, call->name);
            if (is_asked_for(way.name, patterns))
                ways[n_ways++] = way;
        }
}

/* ---- the lower */

/* Without extents, where the file system can do that, so that there is something for a migration to change. */
static void lay_file(const char *path, bool in_blocks) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int flags = 0;
    if (fd < 0)
        give_up(path);
    if (in_blocks && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags &= ~FS_EXTENT_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    if (dprintf(fd, "lower %s\n", path) < 0 || close(fd) != 0)
        give_up(path);
    (void)setxattr(path, "user.a", "lower", 5, 0);
}

static void lay_way(const char *directory, const char *beside, const struct way *way) {
    char path[PATH_MAX], name[8], target[PATH_MAX];
    join(path, directory, way->name);
    if (mkdir(path, 0755) != 0 || chdir(path) != 0)
        give_up(path);
    for (unsigned i = 0; i < files_for(way->call); i++) {
        (void)snprintf(name, sizeof name, "f%02u", i);
        lay_file(name, !strcmp(way->call->name, "migrate"));
    }
    for (int i = 0; i < N_DIRS; i++) {
        (void)snprintf(name, sizeof name, "e%02d", i);
        if (mkdir(name, 0755) != 0)
            give_up(name);
        (void)setxattr(name, "user.a", "lower", 5, 0);
    }
    set_path(target, "%s/%s/d", beside, way->name);
    if (symlink(target, "o") != 0 || symlink(".", "v") != 0)
        give_up(target);
}

/* ---- who turns */

static uint64_t now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void spin(struct pair *p, uint64_t nanoseconds) {
    for (uint64_t end = now() + nanoseconds; now() < end && !p->stop;)
        atomic_signal_fence(memory_order_seq_cst);
}

static void set_word(_Atomic uint32_t *word, uint32_t value) {
    *word = value;
    (void)SYS(futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Sleeps while the word has this value, and no longer than a second. */
static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
    static const struct timespec second = {1, 0};
    if (*word == value)
        (void)SYS(futex, word, FUTEX_WAIT, value, &second, NULL, 0);
}

/* Aimed: good when the call begins, bad some time later.  At random: as fast as it goes. */
static void turn_under(struct pair *p, uint32_t turn) {
    uint64_t random = next_random(&p->turner_random) >> 20;
    if (random % 4) {
        spin(p, (random / 64) % (500ull << (random / 4 % 10)));
        p->flip->turn(p, true);
        while (p->turn == turn && !p->stop)
            sleep_while(&p->turn, turn);
        p->flip->turn(p, false);
        return;
    }
    for (bool bad = true; p->turn == turn && !p->stop; bad = !bad) {
        p->flip->turn(p, bad);
        spin(p, next_random(&p->turner_random) % (random / 4 % 8000 + 1));
    }
    p->flip->turn(p, false);
}

static void *turner(void *arg) {
    struct pair *p = arg;
    while (!p->stop) {
        uint32_t turn = p->turn;
        set_word(&p->armed, turn);
        if (turn & 1)
            turn_under(p, turn);
        else
            sleep_while(&p->turn, turn);
    }
    return NULL;
}

static int turner_process(void *arg) {
    (void)turner(arg);
    (void)SYS(exit, 0);
    return 0;
}

/* A thread; a process that shares all but is none of the threads; one that shares nothing but the pair. */
enum turners { THREAD, COUSIN, OTHER };

/* The next turn, once who turns has come to it. */
static void next_turn(struct pair *p) {
    set_word(&p->turn, p->turn + 1);
    for (int i = 0; i < 10 && p->armed != p->turn; i++)
        sleep_while(&p->armed, p->turn - 1);
}

static void stop_turner(struct pair *p, enum turners kind, pthread_t thread, pid_t process) {
    p->stop = true;
    set_word(&p->turn, p->turn + 1);
    if (kind == THREAD)
        (void)pthread_join(thread, NULL);
    else
        (void)waitpid(process, NULL, __WALL);
}

static char stack[1 << 18] __attribute__((aligned(16)));

static void start_turner(struct pair *p, enum turners kind, pthread_t *thread, pid_t *process) {
    switch (kind) {
    case THREAD:
        if (pthread_create(thread, NULL, turner, p) != 0)
            give_up("thread");
        break;
    case COUSIN:
        *process = clone(turner_process, stack + sizeof stack, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, p);
        break;
    case OTHER:
        *process = fork();
        if (*process == 0)
            _exit(turner_process(p));
    }
    if (kind != THREAD && *process < 0)
        give_up("process");
}

/* ---- who calls */

static void choose_names(struct pair *p) {
    static const unsigned wants[] = {A_FILE, A_DIR, NOTHING};
    unsigned want, possible = p->call->want & p->flip->wants;
    unsigned number = (unsigned)(p->tries % files_for(p->call));
    do
        want = wants[pick(p, 3)];
    while (!(want & possible));
    if (want == A_DIR)
        (void)snprintf(p->name, sizeof p->name, "e%02u", (unsigned)(p->tries % N_DIRS));
    else
        (void)snprintf(p->name, sizeof p->name, "%c%02u", want == A_FILE ? 'f' : 'n', number);
    (void)snprintf(p->name2, sizeof p->name2, "m%02u", number);
}

static void call_once(struct pair *p) {
    choose_names(p);
    p->operand = (struct operand){AT_FDCWD, -1, 0, p->path, p->path2};
    if (p->flip->forms & p->call->forms & BY_EMPTY && !(p->flip->forms & p->call->forms & BY_AT))
        p->operand.at = AT_EMPTY_PATH;
    p->flip->fresh(p);
    next_turn(p);
    long result = p->call->make(p, &p->operand);
    next_turn(p);
    p->tries++;
    p->done += result >= 0;
}

static void pad(char *one, size_t length) {
    for (size_t n = strlen(one); n < length; n++) {
        one[n] = '/';
        one[n + 1] = 0;
    }
}

/* BESIDE/WAY/d and VIEW/WAY, both open. */
static bool make_sides(struct pair *p, const struct way *way, const char *view, const char *aside) {
    join(p->bad, view, way->name);
    join(p->aside, aside, way->name);
    (void)SYS(mkdir, p->aside, 0755);
    join(p->good, p->aside, "d");
    (void)SYS(mkdir, p->good, 0755);
    join(p->own, p->good, "own");
    join(p->out, p->good, "out");
    close_fd(SYS(open, p->own, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    p->good_dir = hold(p->good, O_RDONLY | O_DIRECTORY);
    p->bad_dir = hold(p->bad, O_RDONLY | O_DIRECTORY);
    size_t length = strlen(p->good) > strlen(p->bad) ? strlen(p->good) : strlen(p->bad);
    pad(p->good, length);
    pad(p->bad, length);
    return p->good_dir >= 0 && p->bad_dir >= 0 && (!way->flip->begin || way->flip->begin(p));
}

static struct pair *pair(uint64_t seed, const struct way *way) {
    struct pair *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        give_up("memory");
    uint64_t random = seed * 2654435761u + 88172645463325252ull;
    for (const char *c = way->name; *c; c++)
        random = (random ^ (unsigned char)*c) * 1099511628211u;
    p->random = random | 1;
    p->turner_random = next_random(&random) | 1;
    p->flip = way->flip;
    p->call = way->call;
    p->good_fd = p->bad_fd = p->good_dir = p->bad_dir = -1;
    p->number = 300;
    return p;
}

static void run_way(const struct way *way, char **places, unsigned long calls, uint64_t seed) {
    struct pair *p = pair(seed, way);
    bool is_shm = way->flip->place && !strcmp(way->flip->place, "shm");
    if (!make_sides(p, way, places[0], places[is_shm ? 2 : 1]))
        give_up(way->name);
    pthread_t thread = 0;
    pid_t process = 0;
    enum turners kind = pick(p, way->flip->in_memory ? 3 : 2);
    start_turner(p, kind, &thread, &process);
    for (unsigned long i = 0; i < calls; i++)
        call_once(p);
    stop_turner(p, kind, thread, process);
    if (way->flip->end)
        way->flip->end(p);
    int fds[] = {p->good_dir, p->bad_dir, p->good_fd, p->bad_fd, p->number};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close_fd(fds[i]);
    printf("%s %lu %lu\n", way->name, p->tries, p->done);
    (void)munmap(p, sizeof *p);
}

static void shuffle(uint64_t seed) {
    uint64_t random = seed * 2654435761u + 1;
    for (size_t i = n_ways; i > 1; i--) {
        size_t other = (next_random(&random) >> 20) % i;
        struct way way = ways[i - 1];
        ways[i - 1] = ways[other];
        ways[other] = way;
    }
}

/* No way gets fewer calls than A_WAY: when there are too few calls for all ways, the seed says which are taken. */
static void run(char **places, unsigned long calls, uint64_t seed) {
    static const int ignored[] = {SIGIO, SIGPIPE, SIGXFSZ, SIGURG};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGBUS, on_bus_error);
    shuffle(seed);
    unsigned long each = (calls + n_ways - 1) / n_ways;
    if (each < A_WAY)
        each = A_WAY;
    for (size_t i = 0; i < n_ways && calls; i++) {
        unsigned long now_calls = each < calls ? each : calls;
        if (chdir(places[1]) != 0)
            give_up("chdir");
        run_way(&ways[i], places, now_calls, seed);
        calls -= now_calls;
        (void)fflush(stdout);
    }
    printf("through\n");
}

int main(int argc, char **argv) {
    umask(022);
    if (argc >= 2 && !strcmp(argv[1], "ways")) {
        list_ways(argv + 2);
        for (size_t i = 0; i < n_ways; i++)
            printf("%s\n", ways[i].name);
        return 0;
    }
    if (argc >= 4 && !strcmp(argv[1], "lay")) {
        list_ways(argv + 4);
        for (size_t i = 0; i < n_ways; i++)
            lay_way(argv[2], argv[3], &ways[i]);
        return 0;
    }
    if (argc < 7 || strcmp(argv[1], "run") != 0)
        give_up("adversary ways|lay|run …");
    list_ways(argv + 7);
    run(argv + 2, strtoul(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    return 0;
}
