/* adversary_flips.h - what is turned under a call: strings, links, directories, descriptors, structs.
 *
 * Rule: whichever way round something stands, the operand names nothing but the good directory and this way's own
 * directory of the view; a string that is half turned names nothing that is there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ADVERSARY_FLIPS_H
#define ADVERSARY_FLIPS_H

#include "adversary.h"
#include "adversary_calls.h"

#define BY_STRING (BY_PATH | BY_AT)
#define ANY_WANT (A_FILE | A_DIR | NOTHING)

/* ---- the good side is made as the call needs it */

static void remove_at(int directory, const char *name) {
    if (SYS(unlinkat, directory, name, 0) == -EISDIR)
        (void)SYS(unlinkat, directory, name, AT_REMOVEDIR);
}

static void make_file(int directory, const char *name) {
    long fd = SYS(openat, directory, name, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0) {
        remove_at(directory, name);
        fd = SYS(openat, directory, name, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    }
    close_fd(fd);
}

static void mend(struct pair *p) {
    char path[64];
    if (p->name[0] == 'f')
        make_file(p->good_dir, p->name);
    else if (p->name[0] == 'e')
        (void)SYS(mkdirat, p->good_dir, p->name, 0755);
    else
        remove_at(p->good_dir, p->name);
    if (p->call->uses & PATH2)
        remove_at(p->good_dir, p->name2);
    if (p->call->uses & OWN)
        make_file(p->good_dir, "own");
    if (p->call->uses & OUT)
        remove_at(p->good_dir, "out");
    if (!strstr(p->call->name, "removexattr"))
        return;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", p->good_dir, p->name);
    (void)SYS(setxattr, path, "user.a", "good", 4, 0);
}

static void by_path(struct pair *p, const char *directory) {
    join(p->path, directory, p->name);
    join(p->path2, directory, p->name2);
}

/* ---- strings */

static void turn_directory(struct pair *p, bool bad) {
    const char *directory = bad ? p->bad : p->good;
    memcpy(p->path, directory, strlen(directory));
    memcpy(p->path2, directory, strlen(directory));
}

static void fresh_directory(struct pair *p) {
    mend(p);
    by_path(p, p->good);
}

/* `o` leads to the good side and `v` to the bad one: one byte is turned. */
static bool begin_byte(struct pair *p) {
    char link[PATH_MAX];
    join(link, p->aside, "v");
    (void)SYS(symlink, p->bad, link);
    join(link, p->aside, "o");
    (void)SYS(symlink, p->good, link);
    join(p->good, p->aside, "o");
    return true;
}

/* The same, where the links themselves are in the lower. */
static bool begin_byte_in_view(struct pair *p) {
    join(p->good, p->bad, "o");
    return true;
}

static void turn_byte(struct pair *p, bool bad) {
    size_t at = strlen(p->good) - 1;
    p->path[at] = p->path2[at] = bad ? 'v' : 'o';
}

/* "" with a descriptor of the good side; or a path of the view, which needs none. */
static void fresh_blank(struct pair *p) {
    mend(p);
    close_fd(p->good_fd);
    p->good_fd = (int)SYS(openat, p->good_dir, p->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    by_path(p, p->bad);
    p->path[0] = 0;
    p->operand.dirfd = p->good_fd;
}

static void turn_blank(struct pair *p, bool bad) {
    p->path[0] = bad ? '/' : 0;
}

/* ---- links and directories on the disk; `a` is what the path says, `b` takes turns with it */

static void exchange(struct pair *p, const char *one, const char *other) {
    char a[PATH_MAX], b[PATH_MAX];
    join(a, p->aside, one);
    join(b, p->aside, other);
    if (SYS(renameat2, AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        p->is_bad = !p->is_bad;
}

static void turn_link(struct pair *p, bool bad) {
    if (bad != p->is_bad)
        exchange(p, "a", "b");
}

static void fresh_link(struct pair *p) {
    char link[PATH_MAX], target[PATH_MAX];
    mend(p);
    for (int bad = 0; bad < 2; bad++) {
        join(link, p->aside, bad ? "b" : "a");
        join(target, bad ? p->bad : p->good, p->name);
        (void)SYS(unlink, link);
        (void)SYS(symlink, target, link);
    }
    p->is_bad = false;
    join(p->path, p->aside, "a");
    join(p->path2, p->aside, "c");
}

/* The good directory itself, `d`, is swapped for a link into the view. */
static bool begin_swap(struct pair *p) {
    char link[PATH_MAX];
    join(link, p->aside, "s");
    return SYS(symlink, p->bad, link) == 0;
}

static void turn_swap(struct pair *p, bool bad) {
    if (bad != p->is_bad)
        exchange(p, "d", "s");
}

static void end_swap(struct pair *p) {
    turn_swap(p, false);
}

/* The same in two steps, so that for a moment nothing is there. */
static void turn_dance(struct pair *p, bool bad) {
    static const char *const names[2][2] = {{"d", "t"}, {"s", "d"}};
    char from[PATH_MAX], to[PATH_MAX];
    if (bad == p->is_bad)
        return;
    for (int i = 0; i < 2; i++) {
        int step = bad ? i : 1 - i;
        join(from, p->aside, names[step][bad ? 0 : 1]);
        join(to, p->aside, names[step][bad ? 1 : 0]);
        if (SYS(rename, from, to) != 0)
            return;
    }
    p->is_bad = bad;
}

static void end_dance(struct pair *p) {
    turn_dance(p, false);
}

/* d/x/../NAME, where x is a directory, or a link to one of the view, above which another NAME is. */
static bool begin_dots(struct pair *p) {
    char link[PATH_MAX], target[PATH_MAX];
    join(link, p->aside, "d/x");
    (void)SYS(mkdir, link, 0755);
    join(link, p->aside, "d/y");
    join(target, p->bad, "e0");
    return SYS(symlink, target, link) == 0;
}

static void fresh_dots(struct pair *p) {
    mend(p);
    set_path(p->path, "%s/d/x/../%s", p->aside, p->name);
    set_path(p->path2, "%s/d/x/../%s", p->aside, p->name2);
}

static void turn_dots(struct pair *p, bool bad) {
    if (bad != p->is_bad)
        exchange(p, "d/x", "d/y");
}

/* ---- descriptors: one number leads to this and to that */

static void turn_number(struct pair *p, bool bad) {
    (void)SYS(dup2, bad ? p->bad_fd : p->good_fd, p->number);
}

static void turn_directory_number(struct pair *p, bool bad) {
    (void)SYS(dup2, bad ? p->bad_dir : p->good_dir, p->number);
}

static void fresh_directory_number(struct pair *p) {
    mend(p);
    turn_directory_number(p, false);
    p->operand.dirfd = p->number;
    set_path(p->path, "%s", p->name);
    set_path(p->path2, "%s", p->name2);
}

static bool begin_o_path(struct pair *p) {
    close_fd(p->bad_dir);
    p->bad_dir = hold(p->bad, O_PATH | O_DIRECTORY);
    return p->bad_dir >= 0;
}

static void fresh_proc_directory(struct pair *p) {
    fresh_directory_number(p);
    p->operand.dirfd = AT_FDCWD;
    set_path(p->path, "/proc/self/fd/%d/%s", p->number, p->name);
    set_path(p->path2, "/proc/self/fd/%d/%s", p->number, p->name2);
}

/* A descriptor of the lower's, for reading only. */
static int lower_fd(struct pair *p, int flags) {
    char path[PATH_MAX];
    join(path, p->bad, p->name);
    return hold(path, flags | O_NONBLOCK);
}

static void use_number(struct pair *p, int good, int bad) {
    close_fd(p->good_fd);
    close_fd(p->bad_fd);
    p->good_fd = good;
    p->bad_fd = bad;
    turn_number(p, false);
    p->operand.fd = p->operand.dirfd = p->number;
    p->path[0] = 0;
}

static void fresh_file_number(struct pair *p) {
    mend(p);
    int flags = p->name[0] == 'e' ? O_RDONLY : O_RDWR;
    use_number(p, (int)SYS(openat, p->good_dir, p->name, flags | O_NONBLOCK | O_CLOEXEC), lower_fd(p, O_RDONLY));
}

static void fresh_o_path_number(struct pair *p) {
    mend(p);
    use_number(p, (int)SYS(openat, p->good_dir, p->name, O_PATH | O_CLOEXEC), lower_fd(p, O_PATH));
}

static void fresh_pipe_number(struct pair *p) {
    int ends[2] = {-1, -1};
    mend(p);
    (void)SYS(pipe2, ends, O_NONBLOCK | O_CLOEXEC);
    use_number(p, ends[1], lower_fd(p, O_RDONLY));
    close_fd(ends[0]);
}

static void fresh_socket_number(struct pair *p) {
    mend(p);
    use_number(p, (int)SYS(socket, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), lower_fd(p, O_RDONLY));
}

static void fresh_memory_number(struct pair *p) {
    mend(p);
    use_number(p, (int)SYS(memfd_create, "adversary", MFD_CLOEXEC | MFD_ALLOW_SEALING), lower_fd(p, O_RDONLY));
}

/* A file of the upper that was removed since. */
static void fresh_removed_number(struct pair *p) {
    char path[PATH_MAX];
    mend(p);
    join(path, p->bad, "removed");
    int fd = (int)SYS(openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    (void)SYS(unlink, path);
    use_number(p, fd, lower_fd(p, O_RDONLY));
}

static void fresh_unnamed_number(struct pair *p) {
    mend(p);
    int fd = hold(p->bad, O_TMPFILE | O_RDWR);
    use_number(p, fd, lower_fd(p, O_RDONLY));
}

/* A file of the upper itself. */
static void fresh_upper_number(struct pair *p) {
    char path[PATH_MAX];
    mend(p);
    join(path, p->bad, "upper");
    int fd = (int)SYS(openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
    use_number(p, fd, lower_fd(p, O_RDONLY));
}

static void fresh_proc_number(struct pair *p) {
    fresh_file_number(p);
    p->operand.dirfd = AT_FDCWD;
    by_path(p, p->good);
    set_path(p->path, "%s/%d", pick(p, 2) ? "/proc/self/fd" : "/dev/fd", p->number);
}

/* ---- the current directory, and umask */

static void fresh_cwd(struct pair *p) {
    mend(p);
    (void)SYS(fchdir, p->good_dir);
    set_path(p->path, "%s", p->name);
    set_path(p->path2, "%s", p->name2);
}

static void turn_cwd_path(struct pair *p, bool bad) {
    (void)SYS(umask, bad ? 0 : 027);
    (void)SYS(chdir, bad ? p->bad : p->good);
}

static void turn_cwd_fd(struct pair *p, bool bad) {
    (void)SYS(fchdir, bad ? p->bad_dir : p->good_dir);
    (void)SYS(umask, bad ? 0 : 027);
}

static void fresh_proc_cwd(struct pair *p) {
    fresh_cwd(p);
    by_path(p, "/proc/self/cwd");
}

static void end_cwd(struct pair *p) {
    (void)SYS(umask, 022);
    (void)SYS(fchdir, p->good_dir);
}

/* ---- structs */

static void fresh_view(struct pair *p) {
    by_path(p, p->bad);
    close_fd(p->bad_fd);
    p->bad_fd = lower_fd(p, O_RDONLY);
    p->operand.fd = p->bad_fd;
}

static void turn_how(struct pair *p, bool bad) {
    p->how.flags = bad ? O_RDWR | O_TRUNC | O_NONBLOCK : O_RDONLY | O_NONBLOCK;
}

static void turn_how_odd(struct pair *p, bool bad) {
    static const uint64_t flags[] = {O_PATH, O_RDONLY | O_DIRECTORY, O_RDONLY | O_NOFOLLOW, 1ull << 40};
    p->how.flags = bad ? O_WRONLY | O_NONBLOCK : flags[(next_random(&p->turner_random) >> 20) % 4];
}

static void turn_resolve(struct pair *p, bool bad) {
    p->how.flags = bad ? O_WRONLY | O_CREAT | O_NONBLOCK : O_RDONLY | O_NONBLOCK;
    p->how.mode = bad ? 0600 : 0;
    p->how.resolve = bad ? 0 : RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
}

static void fresh_how(struct pair *p) {
    fresh_view(p);
    memset(&p->how, 0, sizeof p->how);
    p->flip->turn(p, false);
}

static void turn_times(struct pair *p, bool bad) {
    for (int i = 0; i < 2; i++)
        p->times[i].tv_nsec = bad ? 5 : UTIME_OMIT;
}

static void turn_attribute(struct pair *p, bool bad) {
    memcpy(p->attribute, bad ? "user.a" : "syst.a", 6);
    p->value.value = bad ? (uintptr_t)mark : 8;
    p->value.size = bad ? 4 : 1 << 30;
}

static void turn_flags(struct pair *p, bool bad) {
    p->flags = bad ? FS_NODUMP_FL | 0x80000 : -1;
    p->extended[0] = bad ? FS_XFLAG_NODUMP : 0x7fffffff;
}

static void fresh_value(struct pair *p) {
    fresh_view(p);
    p->times[0].tv_sec = p->times[1].tv_sec = 1000000000;
    strcpy(p->attribute, "user.a");
}

static void address_of(struct pair *p, const char *directory) {
    char path[PATH_MAX];
    join(path, directory, p->name);
    memset(&p->address, 0, sizeof p->address);
    p->address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof p->address.sun_path)
        give_up("path too long for a socket");
    strcpy(p->address.sun_path, path);
    p->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static void fresh_address(struct pair *p) {
    mend(p);
    address_of(p, p->bad);
    p->flip->turn(p, false);
}

static void fresh_address_path(struct pair *p) {
    mend(p);
    address_of(p, p->good);
}

static void turn_abstract(struct pair *p, bool bad) {
    p->address.sun_path[0] = bad ? '/' : 0;
}

static void turn_family(struct pair *p, bool bad) {
    p->address.sun_family = bad ? AF_UNIX : AF_INET;
}

static void turn_address_path(struct pair *p, bool bad) {
    memcpy(p->address.sun_path, bad ? p->bad : p->good, strlen(p->good));
}

/* ---- nothing is turned: odd calls alone */

static void turn_nothing(struct pair *p, bool bad) {
    (void)p;
    (void)bad;
}

static void fresh_still(struct pair *p) {
    fresh_view(p);
    if (p->operand.at || p->call->forms & BY_EMPTY) {
        p->operand.dirfd = p->bad_fd;
        if (!(p->call->forms & BY_AT))
            p->path[0] = 0;
    }
}

static void fresh_still_root(struct pair *p) {
    fresh_view(p);
    set_path(p->path, "/proc/self/root%s/%s", p->bad, p->name);
    set_path(p->path2, "/proc/self/root%s/%s", p->bad, p->name2);
}

/* Files that the lower holds for this way: many where the first call that is answered by the view uses one up. */
static unsigned files_for(const struct hostile *call) {
    return call->forms & BY_HOW ? 64 : call->forms & (BY_FD | BY_EMPTY) ? 8 : 5;
}

static const struct flip flips[] = {
    {"string-beside", BY_STRING, ANY_WANT, "beside", true, NULL, fresh_directory, turn_directory, NULL},
    {"string-shm", BY_STRING, ANY_WANT, "shm", true, NULL, fresh_directory, turn_directory, NULL},
    {"byte-beside", BY_STRING, ANY_WANT, "beside", true, begin_byte, fresh_directory, turn_byte, NULL},
    {"byte-shm", BY_STRING, ANY_WANT, "shm", true, begin_byte, fresh_directory, turn_byte, NULL},
    {"byte-view", BY_STRING, ANY_WANT, "beside", true, begin_byte_in_view, fresh_directory, turn_byte, NULL},
    {"blank", BY_EMPTY, A_FILE | A_DIR, "beside", true, NULL, fresh_blank, turn_blank, NULL},
    {"link-beside", BY_STRING, A_FILE | A_DIR, "beside", false, NULL, fresh_link, turn_link, NULL},
    {"link-shm", BY_STRING, A_FILE | A_DIR, "shm", false, NULL, fresh_link, turn_link, NULL},
    {"swap-beside", BY_STRING, ANY_WANT, "beside", false, begin_swap, fresh_directory, turn_swap, end_swap},
    {"swap-shm", BY_STRING, ANY_WANT, "shm", false, begin_swap, fresh_directory, turn_swap, end_swap},
    {"dance-beside", BY_STRING, ANY_WANT, "beside", false, begin_swap, fresh_directory, turn_dance, end_dance},
    {"dots-beside", BY_STRING, ANY_WANT, "beside", false, begin_dots, fresh_dots, turn_dots, NULL},
    {"dirfd-beside", BY_AT, ANY_WANT, "beside", false, NULL, fresh_directory_number, turn_directory_number, NULL},
    {"dirfd-shm", BY_AT, ANY_WANT, "shm", false, NULL, fresh_directory_number, turn_directory_number, NULL},
    {"dirfd-o-path", BY_AT, ANY_WANT, "beside", false, begin_o_path, fresh_directory_number, turn_directory_number,
     NULL},
    {"proc-dirfd", BY_STRING, ANY_WANT, "beside", false, NULL, fresh_proc_directory, turn_directory_number, NULL},
    {"proc-fd", BY_STRING, A_FILE, "beside", false, NULL, fresh_proc_number, turn_number, NULL},
    {"cwd-path", BY_STRING, ANY_WANT, "beside", false, NULL, fresh_cwd, turn_cwd_path, end_cwd},
    {"cwd-fd", BY_STRING, ANY_WANT, "shm", false, NULL, fresh_cwd, turn_cwd_fd, end_cwd},
    {"proc-cwd", BY_STRING, ANY_WANT, "beside", false, NULL, fresh_proc_cwd, turn_cwd_fd, end_cwd},
    {"fd-beside", BY_FD | BY_EMPTY, A_FILE | A_DIR, "beside", false, NULL, fresh_file_number, turn_number, NULL},
    {"fd-shm", BY_FD | BY_EMPTY, A_FILE, "shm", false, NULL, fresh_file_number, turn_number, NULL},
    {"fd-o-path", BY_EMPTY, A_FILE | A_DIR, "beside", false, NULL, fresh_o_path_number, turn_number, NULL},
    {"fd-pipe", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_pipe_number, turn_number, NULL},
    {"fd-socket", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_socket_number, turn_number, NULL},
    {"fd-memory", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_memory_number, turn_number, NULL},
    {"fd-removed", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_removed_number, turn_number, NULL},
    {"fd-unnamed", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_unnamed_number, turn_number, NULL},
    {"fd-upper", BY_FD | BY_EMPTY, A_FILE, "beside", false, NULL, fresh_upper_number, turn_number, NULL},
    {"how", BY_HOW, A_FILE, NULL, true, NULL, fresh_how, turn_how, NULL},
    {"how-odd", BY_HOW, A_FILE, NULL, true, NULL, fresh_how, turn_how_odd, NULL},
    {"how-resolve", BY_HOW, A_FILE, NULL, true, NULL, fresh_how, turn_resolve, NULL},
    {"times", BY_VALUE, A_FILE, NULL, true, NULL, fresh_value, turn_times, NULL},
    {"attribute", BY_VALUE, A_FILE, NULL, true, NULL, fresh_value, turn_attribute, NULL},
    {"flags", BY_VALUE, A_FILE, NULL, true, NULL, fresh_value, turn_flags, NULL},
    {"abstract", BY_ADDRESS, NOTHING | A_FILE, "beside", true, NULL, fresh_address, turn_abstract, NULL},
    {"family", BY_ADDRESS, NOTHING | A_FILE, "beside", true, NULL, fresh_address, turn_family, NULL},
    {"address-beside", BY_ADDRESS, NOTHING | A_FILE, "beside", true, NULL, fresh_address_path, turn_address_path, NULL},
    {"address-shm", BY_ADDRESS, NOTHING | A_FILE, "shm", true, NULL, fresh_address_path, turn_address_path, NULL},
    {"still", BY_STRING | BY_FD | BY_EMPTY | BY_FD_ALONE, ANY_WANT, "beside", true, NULL, fresh_still, turn_nothing,
     NULL},
    {"still-root", BY_STRING, ANY_WANT, "beside", true, NULL, fresh_still_root, turn_nothing, NULL},
};

#endif
