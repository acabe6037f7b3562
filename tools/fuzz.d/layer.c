/* layer.c - libFuzzer's target for what layers say of themselves: private attributes of the upper and of a lower,
 * redirects, whiteouts and what the work directory keeps, all of the input's making.  The view is then asked about
 * every path, and made to change some.
 *
 * It must hold, whatever the input: each answer is a result or an errno, and no answer leads out of the layers.
 *
 * The layers lie in a directory in memory (FUZZ_DIRECTORY), made anew for each input.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../csrc/ptoverlay.h"

static char top[256];

static const char *const directories[] = {"low",    "low/a", "low/a/d", "low/b",      "low/c",     "mid",  "mid/a",
                                          "mid/n",  "mid/b", "up",      "up/a",       "up/a/d",    "up/n", "up/m",
                                          "up/m/k", "work",  "out",     "work/links", "out/secret"};
static const char *const files[] = {"low/a/f", "low/a/d/g", "low/b/h", "low/c/i",  "mid/a/f", "mid/n/o",
                                    "mid/b/h", "up/a/f",    "up/n/q",  "up/m/k/r", "up/t",    "out/secret/s"};
/* What an input may mark. */
static const char *const marked[] = {"up",       "up/a", "up/a/d", "up/n",  "up/m",  "up/m/k", "up/a/f",  "up/n/q",
                                     "up/m/k/r", "up/t", "mid",    "mid/a", "mid/n", "mid/b",  "mid/a/f", "mid/n/o"};
static const char *const names[] = {"opaque",         "redirect",       "metacopy",       "origin",
                                    "whiteout",       "whiteouts",      "impure",         "nlink",
                                    "upper",          "uuid",           "protattr",       "ptoverlay.kept",
                                    "ptoverlay.base", "ptoverlay.left", "overlay.opaque", "overlay.redirect"};
static const char *const asked[] = {"",        "/a",        "/a/f",        "/a/d",  "/a/d/g", "/b",        "/b/h",
                                    "/c",      "/c/i",      "/n",          "/n/o",  "/n/q",   "/m",        "/m/k",
                                    "/m/k/r",  "/m/f",      "/m/d/g",      "/m/h",  "/n/f",   "/n/secret", "/t",
                                    "/n/../m", "/secret/s", "/m/secret/s", "/gone", "/a/gone"};
#define COUNT(array) (sizeof array / sizeof *(array))

static void insist(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static char *path_of(const char *name, char out[PATH_MAX]) {
    snprintf(out, PATH_MAX, "%s/%s", top, name);
    return out;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static void lay_out(void) {
    char path[PATH_MAX];
    (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    insist(!mkdir(top, 0755), "no directory");
    for (size_t i = 0; i < COUNT(directories); i++)
        insist(!mkdir(path_of(directories[i], path), 0755), "no directory");
    for (size_t i = 0; i < COUNT(files); i++) {
        int fd = open(path_of(files[i], path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        insist(fd >= 0 && write(fd, files[i], strlen(files[i])) > 0 && !close(fd), "no file");
    }
    insist(!symlink("../out/secret", path_of("up/m/link", path)), "no symlink");
}

/* One byte says what, one which, one how long: an attribute, a whiteout, or a file in WORK/links. */
static size_t mark(const uint8_t *data, size_t size, const char *prefix) {
    char path[PATH_MAX], name[300], text[256];
    if (size < 3)
        return size;
    size_t length = data[2] < size - 3 ? data[2] : size - 3;
    memcpy(text, data + 3, length);
    text[length] = 0;
    if (data[0] < 200) {
        snprintf(name, sizeof name, "%s%s", prefix, names[data[0] % COUNT(names)]);
        (void)setxattr(path_of(marked[data[1] % COUNT(marked)], path), name, data + 3, length, 0);
    } else if (data[0] < 230) {
        snprintf(name, sizeof name, "%s/gone%u", marked[data[1] % 6], data[2] % 2u);
        name[strlen(name) - (data[2] % 2u)] = 0;
        (void)mknod(path_of(name, path), S_IFCHR, 0);
    } else {
        struct stat low;
        if (!stat(path_of(files[data[1] % 4], path), &low)) {
            static const char *const ends[] = {"", ".removed", ".pending", ".lent"};
            snprintf(name, sizeof name, "work/links/%lx-%lx%s", (unsigned long)low.st_dev, (unsigned long)low.st_ino,
                     ends[data[0] % 4]);
            int fd = open(path_of(name, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            if (fd >= 0) {
                insist(write(fd, text, length) == (ssize_t)length && !close(fd), "no link");
                (void)setxattr(path, "user.overlay.upper", text, length, 0);
            }
        }
    }
    return 3 + length;
}

static int is_answer(int64_t result) {
    return result > -4096;
}

static void insist_inside(const char *real) {
    size_t length = strlen(top);
    insist(!strncmp(real, top, length) && (real[length] == '/' || !real[length]), real);
    insist(strncmp(real + length, "/out", 4) != 0, real);
}

static void ask(pto_view *view, const char *mount, const char *name) {
    char path[PATH_MAX], out[PATH_MAX];
    static char list[1 << 16];
    struct pto_stat stat;
    struct pto_entry entry;
    snprintf(path, sizeof path, "%s%s", mount, name);
    int found = pto_stat(view, path, 0, &stat);
    insist(is_answer(found), "stat");
    int from = pto_real(view, path, 0, out, sizeof out);
    insist(is_answer(from), "real");
    if (from > 0 && !(from & PTO_FROM_HOST))
        insist_inside(out);
    if (!pto_entry(view, path, &entry) && !(entry.flags & PTO_ENTRY_DIRECT)) {
        if (entry.upper_path[0])
            insist_inside(entry.upper_path);
        if (entry.lower_path[0])
            insist_inside(entry.lower_path);
    }
    insist(is_answer(pto_upper_list(view, path, list, sizeof list)), "upper list");
    int64_t size = pto_list(view, path, list, sizeof list);
    insist(is_answer(size), "list");
    for (int64_t at = 0; at < size; at += (int64_t)strlen(list + at) + 1)
        insist(list[at] && !strchr(list + at, '/'), "a name in a list");
    size = pto_listxattr(view, path, list, sizeof list);
    insist(is_answer(size), "listxattr");
    for (int64_t at = 0; at < size; at += (int64_t)strlen(list + at) + 1)
        insist(is_answer(pto_getxattr(view, path, list + at, out, sizeof out)), "getxattr");
    int fd = pto_open(view, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0);
    insist(is_answer(fd), "open");
    if (fd >= 0) {
        ssize_t length = read(fd, out, sizeof out - 1);
        if (length > 0) {
            out[length] = 0;
            insist(!strstr(out, "secret"), "what lies outside was read");
        }
        insist(!close(fd), "close");
    }
}

static void change(pto_view *view, const char *mount, unsigned how) {
    char path[PATH_MAX], other[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", mount, asked[how % COUNT(asked)]);
    snprintf(other, sizeof other, "%s%s", mount, asked[how / 3 % COUNT(asked)]);
    insist(is_answer(pto_chmod(view, path, 0700)), "chmod");
    int fd = pto_open(view, path, O_WRONLY | O_CLOEXEC, 0644);
    insist(is_answer(fd) && (fd < 0 || !close(fd)), "open for writing");
    insist(is_answer(pto_rename(view, path, other, 0)), "rename");
    insist(is_answer(pto_link(view, other, path)), "link");
    insist(is_answer(pto_unlink(view, other)), "unlink");
    insist(is_answer(pto_mkdir(view, other, 0755)), "mkdir");
    insist(is_answer(pto_rmdir(view, path)), "rmdir");
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *where = getenv("FUZZ_DIRECTORY");
    snprintf(top, sizeof top, "%s/%ld", where ? where : "/dev/shm", (long)getpid());
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char low[PATH_MAX], mid[PATH_MAX], up[PATH_MAX], work[PATH_MAX], message[1024];
    if (size < 2)
        return 0;
    unsigned flags = data[0] & PTO_USERXATTR ? PTO_USERXATTR : 0;
    flags |= data[0] & 1 ? PTO_READ_ONLY : 0;
    flags |= data[0] & PTO_METACOPY;
    unsigned how = data[1];
    lay_out();
    for (size_t at = 2; at < size;)
        at += mark(data + at, size - at, flags & PTO_USERXATTR ? "user.overlay." : "trusted.overlay.");
    const char *lowers[] = {path_of("mid", mid), path_of("low", low)};
    const struct pto_overlay overlay = {.lowers = lowers,
                                        .n_lowers = 2,
                                        .upper = path_of("up", up),
                                        .work = path_of("work", work),
                                        .mount = mid,
                                        .flags = flags};
    pto_view *view = pto_view_new();
    if (view && !pto_view_add_overlay(view, &overlay, message, sizeof message)) {
        for (size_t i = 0; i < COUNT(asked); i++)
            ask(view, mid, asked[i]);
        if (!(flags & PTO_READ_ONLY)) {
            change(view, mid, how);
            for (size_t i = 0; i < COUNT(asked); i++)
                ask(view, mid, asked[i]);
        }
    }
    pto_view_free(view);
    return 0;
}
