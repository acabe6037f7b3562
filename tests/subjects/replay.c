/* replay.c - plays a script of calls, by several processes, and prints the result of each: `replay DIR < SCRIPT`.
 *
 * A line is `WORKER CALL ARGUMENT…`; the words hold no spaces.  `begin SUBDIRECTORY` ends all workers; the next ones
 * start there.  Workers (0 to 3) are processes that live until then; one of them acts at a time, so the
 * order of the calls is that of the script.  A worker has slots (0 to 3) for descriptors and others for directory streams; a path
 * "@SLOT/…" is relative to a descriptor.  `child CALL …` makes the call in a forked child, which shares both.
 *
 * A result is a value or the negative name of an errno.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WORKERS 4
#define SLOTS 4
#define WORDS 8
#define LINE 1024
#define NAMES 256

static dev_t top_dev;   /* st_dev of DIR */
static int slots[SLOTS] = {-1, -1, -1, -1};
static DIR *streams[SLOTS];
static long positions[SLOTS];

__attribute__((noreturn)) static void give_up(const char *what) {
    fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
    exit(120);
}

/* ---- results ---- */

static void answer(char *out, long result) {
    if (result < 0)
        snprintf(out, LINE * 4, "-%s", strerrorname_np(errno));
    else
        snprintf(out, LINE * 4, "%ld", result);
}

static void answer_stat(char *out, int result, const struct stat *st) {
    if (result < 0) {
        answer(out, result);
        return;
    }
    bool directory = S_ISDIR(st->st_mode);
    char when[32] = "now";
    if (st->st_mtime < 1500000000)   /* not from the clock */
        snprintf(when, sizeof when, "%lld", (long long)st->st_mtime);
    snprintf(out, LINE * 4, "mode %o owner %u:%u nlink %lu size %lld rdev %u:%u mtime %s dev %d ino %llu", st->st_mode,
             st->st_uid, st->st_gid, directory ? 0 : (unsigned long)st->st_nlink,
             directory ? 0 : (long long)st->st_size, major(st->st_rdev), minor(st->st_rdev),
             S_ISFIFO(st->st_mode) ? "any" : when, st->st_dev == top_dev, (unsigned long long)st->st_ino);
}

static void answer_bytes(char *out, ssize_t size, const char *bytes) {
    if (size < 0)
        answer(out, size);
    else
        snprintf(out, LINE * 4, "%zd %.*s", size, (int)size, bytes);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names, sorted, without "." and "..". */
static void answer_names(char *out, char **names, size_t count) {
    char *at = out, *end = out + LINE * 4;
    qsort(names, count, sizeof *names, by_name);
    at += snprintf(at, (size_t)(end - at), "names");
    for (size_t i = 0; i < count && at < end; i++) {
        at += snprintf(at, (size_t)(end - at), " %s", names[i]);
        free(names[i]);
    }
}

/* ---- paths and slots ---- */

/* "@SLOT/path", or a path from the current directory. */
static int split(const char *word, const char **path) {
    *path = word;
    if (word[0] != '@')
        return AT_FDCWD;
    *path = strchr(word, '/') ? strchr(word, '/') + 1 : ".";
    return slots[(word[1] - '0') % SLOTS];
}

static int slot_of(const char *word) {
    return (word[0] - '0') % SLOTS;
}

static void put_slot(int slot, int fd) {
    if (fd >= 0 && slots[slot] >= 0)
        close(slots[slot]);
    if (fd >= 0)
        slots[slot] = fd;
}

/* r w rw: the mode; c create, x exclusive, t truncate, a append, d directory, p O_PATH, n not following. */
static int flags_of(const char *word) {
    int flags = strchr(word, 'r') && strchr(word, 'w') ? O_RDWR : strchr(word, 'w') ? O_WRONLY : O_RDONLY;
    static const struct {
        char letter;
        int flag;
    } letters[] = {{'c', O_CREAT},     {'x', O_EXCL}, {'t', O_TRUNC},   {'a', O_APPEND},
                   {'d', O_DIRECTORY}, {'p', O_PATH}, {'n', O_NOFOLLOW}};
    for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
        if (strchr(word, letters[i].letter))
            flags |= letters[i].flag;
    return flags | O_NONBLOCK | O_CLOEXEC;
}

/* ---- calls that need more than a line ---- */

static void write_file(char *out, int dirfd, const char *path, const char *flags, const char *data) {
    int fd = openat(dirfd, path, flags_of(flags), 0644);
    long result = fd < 0 ? -1 : write(fd, data, strlen(data));
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    answer(out, result);
}

static void read_file(char *out, int dirfd, const char *path) {
    char bytes[LINE];
    int fd = openat(dirfd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    answer_bytes(out, size, bytes);
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* What is left of a stream; a name that comes twice is in it twice.  The kernel also lists whiteouts where it merges nothing. */
static void read_names(char *out, DIR *stream) {
    char *names[NAMES];
    size_t count = 0;
    struct stat st;
    errno = 0;
    for (const struct dirent *entry; count < NAMES && (entry = readdir(stream));)
        if (!is_dots(entry->d_name) && fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            names[count++] = strdup(entry->d_name);
    if (errno && errno != ENOENT)
        answer(out, -1);
    else
        answer_names(out, names, count);
}

static void list(char *out, int dirfd_, const char *path) {
    int fd = openat(dirfd_, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        answer(out, -1);
        return;
    }
    read_names(out, stream);
    closedir(stream);
}

/* setxattr and its like know no directory descriptor. */
static const char *proc_path(int dirfd, const char *path, char buffer[LINE]) {
    if (dirfd == AT_FDCWD)
        return path;
    snprintf(buffer, LINE, "/proc/self/fd/%d/%s", dirfd, path);
    return buffer;
}

static void list_attributes(char *out, const char *path) {
    char buffer[LINE];
    char *names[NAMES];
    size_t count = 0;
    ssize_t size = llistxattr(path, buffer, sizeof buffer);
    if (size < 0) {
        answer(out, -1);
        return;
    }
    for (const char *name = buffer; name < buffer + size && count < NAMES; name += strlen(name) + 1)
        names[count++] = strdup(name);
    answer_names(out, names, count);
}

static int set_times(int dirfd, const char *path, long seconds) {
    const struct timespec times[2] = {{seconds, 0}, {seconds, 0}};
    return utimensat(dirfd, path, times, AT_SYMLINK_NOFOLLOW);
}

/* ---- calls by path ---- */

static bool by_path(char **word, char *out) {
    const char *op = word[0], *a, *b;
    char buffer[LINE];
    struct stat st;
    int at = split(word[1], &a), to = split(word[2], &b);
    mode_t mode = (mode_t)strtoul(word[2], NULL, 10);
#define IS(name) (strcmp(op, name) == 0)
    if (IS("mkdir"))
        answer(out, mkdirat(at, a, mode));
    else if (IS("rmdir"))
        answer(out, unlinkat(at, a, AT_REMOVEDIR));
    else if (IS("unlink"))
        answer(out, unlinkat(at, a, 0));
    else if (IS("symlink"))
        answer(out, symlinkat(word[1], to, b));
    else if (IS("mkfifo"))
        answer(out, mkfifoat(at, a, mode));
    else if (IS("link"))
        answer(out, linkat(at, a, to, b, 0));
    else if (IS("rename"))
        answer(out, renameat2(at, a, to, b, (unsigned)atoi(word[3])));
    else if (IS("chmod"))
        answer(out, fchmodat(at, a, mode, 0));
    else if (IS("chown"))
        answer(out, fchownat(at, a, mode, (gid_t)atoi(word[3]), AT_SYMLINK_NOFOLLOW));
    else if (IS("utimes"))
        answer(out, set_times(at, a, atol(word[2])));
    else if (IS("truncate"))
        answer(out, truncate(proc_path(at, a, buffer), atol(word[2])));
    else if (IS("setxattr"))
        answer(out, lsetxattr(proc_path(at, a, buffer), word[2], word[3], strlen(word[3]), 0));
    else if (IS("removexattr"))
        answer(out, lremovexattr(proc_path(at, a, buffer), word[2]));
    else if (IS("listxattr"))
        list_attributes(out, proc_path(at, a, buffer));
    else if (IS("write"))
        write_file(out, at, a, word[2], word[3]);
    else if (IS("read"))
        read_file(out, at, a);
    else if (IS("list"))
        list(out, at, a);
    else if (IS("stat"))
        answer_stat(out, fstatat(at, a, &st, AT_SYMLINK_NOFOLLOW), &st);
    else if (IS("access"))
        answer(out, faccessat(at, a, atoi(word[2]), 0));
    else if (IS("chdir"))
        answer(out, at == AT_FDCWD ? chdir(a) : fchdir(at));
    else
        return false;
    return true;
}

/* ---- calls by descriptor ---- */

static bool by_slot(char **word, char *out) {
    const char *op = word[0], *path;
    char bytes[LINE];
    struct stat st;
    int slot = slot_of(word[1]), fd = slots[slot];
    long number = atol(word[2]);
    if (IS("open")) {
        int at = split(word[2], &path);
        int opened = openat(at, path, flags_of(word[3]), 0640);
        put_slot(slot, opened);
        answer(out, opened < 0 ? -1 : 0);
    } else if (IS("close")) {
        slots[slot] = -1;
        answer(out, close(fd));
    } else if (IS("dup")) {
        int copy = dup(fd);
        put_slot(slot_of(word[2]), copy);
        answer(out, copy < 0 ? -1 : 0);
    } else if (IS("fread")) {
        answer_bytes(out, read(fd, bytes, 5), bytes);
    } else if (IS("fwrite")) {
        answer(out, write(fd, word[2], strlen(word[2])));
    } else if (IS("lseek")) {
        answer(out, lseek(fd, number, SEEK_SET));
    } else if (IS("fstat")) {
        answer_stat(out, fstat(fd, &st), &st);
    } else if (IS("fchmod")) {
        answer(out, fchmod(fd, (mode_t)number));
    } else if (IS("ftruncate")) {
        answer(out, ftruncate(fd, number));
    } else if (IS("fsetxattr")) {
        answer(out, fsetxattr(fd, word[2], word[3], strlen(word[3]), 0));
    } else if (IS("fsync")) {
        answer(out, fsync(fd));
    } else if (IS("fchdir")) {
        answer(out, fchdir(fd));
    } else {
        return false;
    }
    return true;
}

/* ---- calls by directory stream ---- */

static bool by_stream(char **word, char *out) {
    const char *op = word[0], *path;
    int slot = slot_of(word[1]);
    DIR *stream = streams[slot];
    if (IS("opendir")) {
        int at = split(word[2], &path);
        int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *opened = fd < 0 ? NULL : fdopendir(fd);
        if (opened && stream)
            closedir(stream);
        if (opened)
            streams[slot] = opened;
        answer(out, opened ? 0 : -1);
        return true;
    }
    bool known = IS("readdir") || IS("names") || IS("telldir") || IS("seekdir") || IS("rewinddir") || IS("closedir");
    if (known && !stream) {
        strcpy(out, "no stream");
        return true;
    }
    strcpy(out, "0");
    if (IS("readdir"))
        strcpy(out, readdir(stream) ? "entry" : "end");
    else if (IS("names"))
        read_names(out, stream);
    else if (IS("telldir"))
        positions[slot] = telldir(stream);
    else if (IS("seekdir"))
        seekdir(stream, positions[slot]);
    else if (IS("rewinddir"))
        rewinddir(stream);
    else if (IS("closedir")) {
        streams[slot] = NULL;   /* also after an error there is no stream any more */
        answer(out, closedir(stream));
    }
    return known;
}

static bool by_nothing(char **word, char *out) {
    const char *op = word[0];
    if (!IS("getcwd"))
        return false;
    char cwd[LINE];
    if (!getcwd(cwd, sizeof cwd))
        answer(out, -1);
    else
        snprintf(out, LINE * 4, "%s", cwd);
    return true;
}

static void perform(char **word, char *out) {
    if (!by_path(word, out) && !by_slot(word, out) && !by_stream(word, out) && !by_nothing(word, out))
        snprintf(out, LINE * 4, "unknown call %s", word[0]);
}

/* ---- workers ---- */

struct worker {
    pid_t pid;      /* 0: none */
    int to, from;
};
static struct worker workers[WORKERS];

/* Splits a line into words; missing ones are "". */
static void cut(char *line, char *word[WORDS]) {
    char *rest = line;
    for (size_t i = 0; i < WORDS; i++) {
        char *next = strtok_r(i ? NULL : line, " \n", &rest);
        word[i] = next ? next : line + strlen(line);
    }
}

static void send_all(int fd, const char *bytes, size_t size) {
    for (ssize_t done; size > 0; bytes += done, size -= (size_t)done)
        if ((done = write(fd, bytes, size)) < 0)
            give_up("pipe");
}

/* In a child of the worker; the parent passes its answer on. */
static void perform_in_child(char **word, char *out) {
    int pair[2], status;
    if (pipe2(pair, O_CLOEXEC) < 0)
        give_up("pipe");
    pid_t pid = fork();
    if (pid < 0)
        give_up("fork");
    if (pid == 0) {
        perform(word, out);
        send_all(pair[1], out, strlen(out));
        _exit(0);
    }
    close(pair[1]);
    size_t size = 0;
    for (ssize_t got; (got = read(pair[0], out + size, LINE * 4 - 1 - size)) > 0;)
        size += (size_t)got;
    out[size] = '\0';
    close(pair[0]);
    if (waitpid(pid, &status, 0) < 0)
        give_up("waitpid");
}

/* Each message ends with a NUL. */
static ssize_t receive(int fd, char *out, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = read(fd, out + done, 1);
        if (got <= 0)
            return got;
        if (out[done++] == '\0')
            break;
    }
    return (ssize_t)done;
}

__attribute__((noreturn)) static void work(int from, int to) {
    char line[LINE], out[LINE * 4], *word[WORDS];
    while (receive(from, line, sizeof line) > 0) {
        out[0] = '\0';
        cut(line, word);
        if (strcmp(word[0], "child") == 0)
            perform_in_child(word + 1, out);
        else
            perform(word, out);
        send_all(to, out, strlen(out) + 1);
    }
    _exit(0);
}

static void start(struct worker *worker) {
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
        give_up("pipe");
    worker->pid = fork();
    if (worker->pid < 0)
        give_up("fork");
    if (worker->pid == 0) {
        for (size_t i = 0; i < WORKERS; i++)
            if (&workers[i] != worker && workers[i].pid) {
                close(workers[i].to);
                close(workers[i].from);
            }
        close(down[1]);
        close(up[0]);
        work(down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    worker->to = down[1];
    worker->from = up[0];
}

static void end_all(void) {
    int status;
    for (size_t i = 0; i < WORKERS; i++) {
        if (!workers[i].pid)
            continue;
        close(workers[i].to);
        close(workers[i].from);
        if (waitpid(workers[i].pid, &status, 0) < 0)
            give_up("waitpid");
        workers[i].pid = 0;
    }
}

int main(int argc, char **argv) {
    char line[LINE], copy[LINE], out[LINE * 4];
    struct stat st;
    if (argc != 2 || chdir(argv[1]) < 0 || stat(".", &st) < 0)
        give_up(argc == 2 ? argv[1] : "usage: replay DIR < SCRIPT");
    int top = open(".", O_PATH | O_CLOEXEC);
    top_dev = st.st_dev;
    umask(022);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "begin ", 6) == 0) {
            end_all();
            if (fchdir(top) < 0 || chdir(line + 6) < 0)
                give_up(line + 6);
            printf("%s\n", line);
            continue;
        }
        struct worker *worker = &workers[(line[0] - '0') % WORKERS];
        if (!worker->pid)
            start(worker);
        snprintf(copy, sizeof copy, "%s", line + 2);
        send_all(worker->to, copy, strlen(copy) + 1);
        if (receive(worker->from, out, sizeof out) <= 0)
            give_up("a worker is gone");
        printf("%s = %s\n", line, out);
        fflush(stdout);
    }
    end_all();
    return 0;
}
