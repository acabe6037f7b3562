/* faults.c - every system call of the view fails once, or is the last one: `faults fault|crash|fallback DIR [SCENARIO…]`.
 *
 * Linked with csrc/view, whose calls into the C library go through the wrappers below (ld --wrap, one for each
 * WRAP line of wrap.h).  Layers are made below DIR, which has to be empty.
 *
 *   fault   at every call of every scenario each errno: the result is that errno, or the call was not needed; what
 *           the view shows is the state before or after, a view opened anew shows the same, no descriptor is left open, and
 *           the same call, done again, succeeds
 *   crash   a process ends at every call of every scenario: a view opened afterwards shows the state before or after,
 *           the work directory is empty, and the same call, done again, succeeds
 *
 *   fallback  a call that a kernel or file system may lack fails each time: everything works all the same
 *   -e      only so many of the errnos at a call, in turn; -p: every PARTS-th scenario, from PART on
 *   -u      user.overlay.* attributes; -m: metacopy
 *
 * Times of directories do not count: that a parent gets its times back after a copy-up is tried, not promised, as in the
 * kernel.
 *
 * One line for each scenario, and one for each thing that is wrong.  Exit status 1 when something is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../csrc/ptoverlay.h"
#include "scenarios.h"
#include "wrap.h"

/* ---- the wrappers ---- */

static struct {
    const char *always; /* the call that fails each time, when not NULL */
    bool armed, crash;
    unsigned calls, at; /* at: the number of the call that fails or is the last */
    int error;
    const char *name; /* of the call that failed */
} shim;

static bool hit(const char *name, bool memory) {
    if (shim.armed && shim.always) {
        bool fails = strcmp(name, shim.always) == 0;
        errno = fails ? shim.error : errno;
        return fails;
    }
    if (!shim.armed || ++shim.calls != shim.at)
        return false;
    if (shim.crash)
        _exit(99);
    if (memory != (shim.error == ENOMEM) && memory)
        return false; /* what allocates can only say ENOMEM */
    shim.name = name;
    errno = shim.error;
    return true;
}

static void arm(unsigned at, int error) {
    shim.at = at;
    shim.error = error;
    shim.calls = 0;
    shim.name = NULL;
    shim.armed = true;
}

/* ---- what goes wrong ---- */

static unsigned wrong;
static const char *scenario_name;

static void complain(const char *format, ...) {
    va_list arguments;
    printf("%s: ", scenario_name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    wrong++;
}

static void give_up(const char *what) {
    fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void must(int result, const char *what) {
    if (result < 0)
        give_up(what);
}

/* ---- layers ---- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int open_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)ftw;
    return flag == FTW_D || flag == FTW_DNR ? chmod(path, st->st_mode | 0700) : 0;
}

static void new_directory(const char *path) {
    if (access(path, F_OK) == 0) {
        must(nftw(path, open_one, 8, FTW_PHYS), path);
        must(nftw(path, remove_one, 8, FTW_PHYS | FTW_DEPTH), path);
    }
    must(mkdir(path, 0755), path);
}

static void new_upper(void) {
    new_directory("upper");
    new_directory("work");
    must(age_one("upper", NULL, 0, NULL), "upper");
}

/* ---- the view ---- */

static char top[4096]; /* DIR */
static unsigned view_flags;

static int open_view(pto_view **out) {
    static char paths[5][4200];
    static const char *const names[5] = {"lower", "lower2", "upper", "work", "mnt"};
    char message[1024];
    for (int i = 0; i < 5; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", top, names[i]);
    const char *lowers[2] = {paths[0], paths[1]};
    struct pto_overlay overlay;
    memset(&overlay, 0, sizeof overlay);
    overlay.lowers = lowers;
    overlay.n_lowers = 2;
    overlay.upper = paths[2];
    overlay.work = paths[3];
    overlay.mount = paths[4];
    overlay.flags = view_flags;
    *out = pto_view_new();
    if (!*out)
        return -ENOMEM;
    int error = pto_view_add_overlay(*out, &overlay, message, sizeof message);
    if (error) {
        pto_view_free(*out);
        *out = NULL;
    }
    return error;
}

static pto_view *must_open_view(void) {
    pto_view *view;
    int error = open_view(&view);
    if (error) {
        errno = -error;
        give_up("the view cannot be opened");
    }
    return view;
}

static int write_file(pto_view *view, const char *path, int flags, const char *text) {
    int fd = pto_open(view, path, flags | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0)
        return fd;
    ssize_t done = write(fd, text, strlen(text));
    close(fd);
    return done < 0 ? -errno : 0;
}

static int open_file(pto_view *view, const char *path, int flags) {
    int fd = pto_open(view, path, flags | O_WRONLY | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

static int read_file(pto_view *view, const char *path, char *out, size_t size) {
    int fd = pto_open(view, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    ssize_t got = read(fd, out, size - 1);
    close(fd);
    out[got > 0 ? got : 0] = '\0';
    return got < 0 ? -errno : (int)got;
}

/* One call, in words: OP PATH [PATH|NUMBER|TEXT]. */
static int perform(pto_view *view, const char *line) {
    char op[32], one[256] = "", two[256] = "", a[4400], b[4400], buffer[65536];
    struct pto_stat st;
    if (sscanf(line, "%31s %255s %255s", op, one, two) < 2)
        give_up(line);
    snprintf(a, sizeof a, "%s/mnt/%s", top, one);
    snprintf(b, sizeof b, "%s/mnt/%s", top, two);
    unsigned mode = (unsigned)strtoul(two, NULL, 8);
#define IS(name) (strcmp(op, name) == 0)
    if (IS("write"))
        return write_file(view, a, O_CREAT | O_TRUNC, two);
    if (IS("create"))
        return open_file(view, a, O_CREAT | O_TRUNC);
    if (IS("open"))
        return open_file(view, a, O_APPEND);
    if (IS("mkdir"))
        return pto_mkdir(view, a, mode);
    if (IS("mkfifo"))
        return pto_mknod(view, a, S_IFIFO | mode, 0);
    if (IS("symlink"))
        return pto_symlink(view, two, a);
    if (IS("link"))
        return pto_link(view, a, b);
    if (IS("unlink"))
        return pto_unlink(view, a);
    if (IS("rmdir"))
        return pto_rmdir(view, a);
    if (IS("rename"))
        return pto_rename(view, a, b, 0);
    if (IS("exchange"))
        return pto_rename(view, a, b, 2);
    if (IS("chmod"))
        return pto_chmod(view, a, mode);
    if (IS("chown"))
        return pto_chown(view, a, 0, mode, mode);
    if (IS("utimes"))
        return pto_utimens(view, a, 0, 100000000, 1, 100000000, 1);
    if (IS("truncate"))
        return pto_truncate(view, a, (int64_t)mode);
    if (IS("setxattr"))
        return pto_setxattr(view, a, "user.new", two, strlen(two), 0);
    if (IS("removexattr"))
        return pto_removexattr(view, a, two);
    if (IS("stat"))
        return pto_stat(view, a, 0, &st);
    if (IS("read"))
        return read_file(view, a, buffer, sizeof buffer) < 0 ? -errno : 0;
    if (IS("list"))
        return (int)pto_list(view, a, buffer, sizeof buffer);
    errno = EINVAL;
    give_up(line);
}

/* ---- what the view shows ---- */

struct text {
    char *bytes;
    size_t size;
};

static void add_object(pto_view *view, FILE *out, const char *path) {
    struct pto_stat st;
    char buffer[65536] = "";
    int error = pto_stat(view, path, 0, &st);
    if (error) {
        fprintf(out, "%s: %s\n", path + strlen(top), strerror(-error));
        return;
    }
    bool directory = S_ISDIR(st.mode);
    fprintf(out, "%s mode %o owner %u %u", path + strlen(top), st.mode, st.uid, st.gid);
    if (!directory)
        fprintf(out, " size %llu nlink %llu", (unsigned long long)st.size, (unsigned long long)st.nlink);
    if (st.mtime_sec < 1500000000 && !directory) /* not from the clock */
        fprintf(out, " mtime %lld.%u", (long long)st.mtime_sec, st.mtime_nsec);
    if (S_ISREG(st.mode))
        error = read_file(view, path, buffer, sizeof buffer);
    else if (S_ISLNK(st.mode))
        error = pto_readlink(view, path, buffer, sizeof buffer - 1);
    fprintf(out, " holds %d %.300s attributes", error, buffer);
    int64_t size = pto_listxattr(view, path, buffer, sizeof buffer);
    for (const char *name = buffer; size > 0 && name < buffer + size; name += strlen(name) + 1)
        fprintf(out, " %s", name);
    fprintf(out, size < 0 ? " %lld\n" : "\n", (long long)size);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_tree(pto_view *view, FILE *out, const char *path) {
    char *names[256], *list = malloc(65536);
    size_t count = 0;
    struct pto_stat st;
    if (!list)
        give_up("malloc");
    add_object(view, out, path);
    int64_t size = pto_stat(view, path, 0, &st) == 0 && S_ISDIR(st.mode) ? pto_list(view, path, list, 65536) : 0;
    if (size < 0)
        fprintf(out, "%s: list: %s\n", path + strlen(top), strerror((int)-size));
    for (char *name = list; size > 0 && name < list + size && count < 256; name += strlen(name) + 1)
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            names[count++] = name;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        char below[4400];
        snprintf(below, sizeof below, "%s/%s", path, names[i]);
        add_tree(view, out, below);
    }
    free(list);
}

static struct text dump(pto_view *view) {
    struct text text = {NULL, 0};
    char path[4200];
    FILE *out = open_memstream(&text.bytes, &text.size);
    if (!out)
        give_up("open_memstream");
    snprintf(path, sizeof path, "%s/mnt", top);
    add_tree(view, out, path);
    if (fclose(out) != 0)
        give_up("open_memstream");
    return text;
}

/* Shows the view of a new run, and leaves it closed. */
static struct text dump_anew(void) {
    pto_view *view = must_open_view();
    struct text text = dump(view);
    pto_view_free(view);
    return text;
}

static bool same(const struct text *a, const struct text *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* The first line that is in one only. */
static void show_difference(const char *what, const struct text *expected, const struct text *found) {
    const char *a = expected->bytes, *b = found->bytes;
    while (*a && *b) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || memcmp(a, b, la) != 0)
            break;
        a += la + 1;
        b += lb + 1;
    }
    printf("    %s: expected %.*s\n        found %.*s\n", what, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

/* ---- scenarios ---- */

static void prepare(const struct scenario *scenario) {
    new_upper();
    pto_view *view = must_open_view();
    for (const char *line = scenario->before; *line; line += strcspn(line, "\n") + (strchr(line, '\n') != NULL)) {
        char one[256];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        int error = perform(view, one);
        if (error < 0) {
            errno = -error;
            give_up(one);
        }
    }
    pto_view_free(view);
}

struct states {
    struct text before, after;
    unsigned calls; /* that the scenario makes */
};

static struct states find_states(const struct scenario *scenario) {
    struct states states;
    prepare(scenario);
    states.before = dump_anew();
    prepare(scenario);
    pto_view *view = must_open_view();
    shim.armed = true;
    shim.calls = shim.at = 0;
    int result = perform(view, scenario->call);
    shim.armed = false;
    states.calls = shim.calls;
    if (result < 0)
        complain("%s", strerror(-result));
    pto_view_free(view);
    states.after = dump_anew();
    return states;
}

/* Once more, and this time it has to work. */
static void perform_again(const struct scenario *scenario, const struct states *states, const char *what) {
    pto_view *view = must_open_view();
    int result = perform(view, scenario->call);
    if (result < 0)
        complain("%s: done again: %s", what, strerror(-result));
    struct text text = dump(view);
    if (!same(&states->after, &text)) {
        complain("%s: done again, it gives another tree", what);
        show_difference("tree", &states->after, &text);
    }
    free(text.bytes);
    pto_view_free(view);
}

static int count_in(const char *path) {
    DIR *stream = opendir(path);
    int count = 0;
    if (!stream)
        return -1;
    for (const struct dirent *entry; (entry = readdir(stream));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(stream);
    return count;
}

/* What a new run finds; the state that it is in is left in *after. */
static void check_anew(const struct scenario *scenario, const struct states *states, const char *what) {
    pto_view *view = must_open_view();
    int stray = count_in("work/work");
    struct text text = dump(view);
    pto_view_free(view);
    bool before = same(&states->before, &text);
    if (stray > 0)
        complain("%s: %d stray objects in the work directory", what, stray);
    if (!before && !same(&states->after, &text)) {
        complain("%s: neither the old nor the new state", what);
        show_difference("old", &states->before, &text);
        show_difference("new", &states->after, &text);
    }
    free(text.bytes);
    if (before)
        perform_again(scenario, states, what);
}

/* ---- crash ---- */

static void crash_at(const struct scenario *scenario, const struct states *states, unsigned n) {
    char what[64];
    int status;
    prepare(scenario);
    fflush(stdout);
    pid_t pid = fork();
    must(pid, "fork");
    if (pid == 0) {
        pto_view *view = must_open_view();
        arm(n, 0);
        perform(view, scenario->call);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || (WEXITSTATUS(status) != 99 && WEXITSTATUS(status) != 0))
        complain("call %u: the process ended with status %x", n, status);
    snprintf(what, sizeof what, "killed at call %u", n);
    check_anew(scenario, states, what);
}

/* ---- fault ---- */

static void fault_at(const struct scenario *scenario, const struct states *states, unsigned n, int error) {
    char what[128];
    prepare(scenario);
    int descriptors = count_in("/proc/self/fd");
    pto_view *view = must_open_view();
    arm(n, error);
    int result = perform(view, scenario->call);
    shim.armed = false;
    snprintf(what, sizeof what, "%s at call %u (%s)", strerrorname_np(error), n, shim.name ? shim.name : "none");
    if (result < 0 && result != -error)
        complain("%s: the result is %s", what, strerrorname_np(-result));
    struct text live = dump(view);
    pto_view_free(view);
    struct text anew = dump_anew();
    if (!same(&anew, &live)) {
        complain("%s: the view is not what its layers are", what);
        show_difference("layers", &anew, &live);
    }
    bool before = same(&states->before, &anew), after = same(&states->after, &anew);
    if (result < 0 ? !before && !(after && scenario->either) : !after) {
        complain("%s: the result is %s, and the state %s", what, result < 0 ? strerrorname_np(-result) : "success",
                 before  ? "the old one"
                 : after ? "the new one"
                         : "neither the old nor the new one");
        show_difference("state", result < 0 ? &states->before : &states->after, &anew);
    }
    int now = count_in("/proc/self/fd");
    if (now != descriptors)
        complain("%s: %d descriptors more than before", what, now - descriptors);
    int stray = count_in("work/work");
    if (stray > 0)
        complain("%s: %d stray objects in the work directory", what, stray);
    free(live.bytes);
    free(anew.bytes);
    if (before)
        perform_again(scenario, states, what);
}

/* ---- fallback ---- */

static const struct {
    const char *call;
    int error;
} lacking[] = {
    {"ioctl", EOPNOTSUPP}, {"ioctl", EXDEV},          {"copy_file_range", EXDEV}, {"copy_file_range", ENOSYS},
    {"sendfile", EINVAL},  {"O_TMPFILE", EOPNOTSUPP}, {"openat2", ENOSYS},        {"lseek", EINVAL},
};

static void without(const struct scenario *scenario, const struct states *states, const char *call, int error) {
    char what[64];
    prepare(scenario);
    pto_view *view = must_open_view();
    arm(0, error);
    shim.always = call;
    int result = perform(view, scenario->call);
    shim.armed = false;
    shim.always = NULL;
    pto_view_free(view);
    snprintf(what, sizeof what, "%s for each %s", strerrorname_np(error), call);
    struct text text = dump_anew();
    if (result < 0 || !same(&states->after, &text)) {
        complain("%s: %s", what, result < 0 ? strerrorname_np(-result) : "another state");
        show_difference("state", &states->after, &text);
    }
    free(text.bytes);
}

/* ---- */

static const int errors[] = {EIO, ENOSPC, EDQUOT, EMFILE, ENOMEM};
#define N_ERRORS (sizeof errors / sizeof errors[0])

/* n_errors: of the errors, for each call; in turn, so that fewer than all of them meet each kind of call all the same. */
static void run(const struct scenario *scenario, size_t n_errors, bool fallback) {
    static char name[512];
    snprintf(name, sizeof name, "[%s] %s", scenario->before, scenario->call);
    for (char *at = name; *at; at++)
        *at = *at == '\n' ? ';' : *at;
    scenario_name = name;
    struct states states = find_states(scenario);
    for (size_t i = 0; fallback && i < sizeof lacking / sizeof lacking[0]; i++)
        without(scenario, &states, lacking[i].call, lacking[i].error);
    for (unsigned n = 1; !fallback && n <= states.calls; n++)
        for (size_t i = 0; i < (shim.crash ? 1 : n_errors); i++) {
            if (shim.crash)
                crash_at(scenario, &states, n);
            else
                fault_at(scenario, &states, n, errors[(n + i) % N_ERRORS]);
        }
    printf("%s: %u calls\n", scenario_name, states.calls);
    free(states.before.bytes);
    free(states.after.bytes);
}

static bool chosen(const struct scenario *scenario, char **wanted) {
    bool found = !*wanted;
    for (; *wanted; wanted++)
        found |= strstr(scenario->call, *wanted) != NULL;
    return found;
}

int main(int argc, char **argv) {
    int option;
    size_t n_errors = N_ERRORS;
    unsigned part = 0, parts = 1;
    while ((option = getopt(argc, argv, "e:mp:u")) >= 0) {
        if (option == 'e')
            n_errors = (size_t)atoi(optarg);
        else if (option == 'p' && sscanf(optarg, "%u/%u", &part, &parts) == 2 && parts)
            continue;
        else if (option == 'u')
            view_flags |= PTO_USERXATTR;
        else if (option == 'm')
            view_flags |= PTO_METACOPY;
        else
            return 2;
    }
    const char *mode = argc - optind < 2 ? "" : argv[optind];
    if (strcmp(mode, "fault") != 0 && strcmp(mode, "crash") != 0 && strcmp(mode, "fallback") != 0) {
        fprintf(stderr, "usage: faults [-e ERRORS] [-m] [-p PART/PARTS] [-u] fault|crash|fallback DIR [SCENARIO…]\n");
        return 2;
    }
    must(chdir(argv[optind + 1]), argv[optind + 1]);
    if (!getcwd(top, sizeof top))
        give_up("getcwd");
    shim.crash = strcmp(mode, "crash") == 0;
    umask(022);
    must(mkdir("mnt", 0755), "mnt");
    make_lowers();
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (i % parts == part && chosen(&scenarios[i], argv + optind + 2))
            run(&scenarios[i], n_errors, strcmp(mode, "fallback") == 0);
    return wrong ? 1 : 0;
}
