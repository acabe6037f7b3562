/* tree.c - prints every entry of a tree, one line each, for tests/support/snapshot.py to compare.
 *
 * Fields, separated by tabs: path, type, mode, uid, gid, nlink, size, mtime, ctime, rdev, hash of the
 * contents (FNV-1a, 64 bits), blocks, inode flags, generation, link group, symlink target, then name=value of each
 * xattr.  Bytes that are not plain are escaped as \xNN.  The link group is the path that was met first with the same inode,
 * and "-" for a file with one name.  What cannot be read shows as !ERRNO.
 *
 * Each directory is read sorted, and without staying open: a tree may be deep.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

struct inode {
    dev_t dev;
    ino_t ino;
    char *path;
};
static struct inode *inodes;
static size_t n_inodes, room;

static void escaped(const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c <= ' ' || c >= 127 || c == '\\' || c == '=')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

static void contents(const char *path) {
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        printf("!%s", error_name(-errno));
        return;
    }
    static unsigned char buffer[1 << 18];
    uint64_t hash = 14695981039346656037u;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ buffer[i]) * 1099511628211u;
    if (n < 0)
        printf("!%s", error_name(-errno));
    else
        printf("%016llx", (unsigned long long)hash);
    (void)close(fd);
}

/* What ioctl(2) alone tells: flags and generation; "-" where a file system has none. */
static void of_the_inode(const char *path) {
    static const unsigned long requests[] = {FS_IOC_GETFLAGS, FS_IOC_GETVERSION};
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        long value = 0;
        if (fd < 0 || ioctl(fd, requests[i], &value) != 0)
            printf("\t-");
        else
            printf("\t%08x", (unsigned)value);
    }
    if (fd >= 0)
        (void)close(fd);
}

static void link_group(const char *shown, const struct stat *st) {
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2) {
        printf("-");
        return;
    }
    for (size_t i = 0; i < n_inodes; i++)
        if (inodes[i].dev == st->st_dev && inodes[i].ino == st->st_ino) {
            escaped(inodes[i].path, strlen(inodes[i].path));
            return;
        }
    if (n_inodes == room) {
        room = room ? room * 2 : 64;
        inodes = realloc(inodes, room * sizeof *inodes);
        if (!inodes)
            give_up("memory");
    }
    inodes[n_inodes++] = (struct inode){st->st_dev, st->st_ino, strdup(shown)};
    escaped(shown, strlen(shown));
}

static void xattrs(const char *path) {
    static char list[65536], value[65536];
    ssize_t n = llistxattr(path, list, sizeof list);
    if (n < 0) {
        if (errno != ENOTSUP && errno != EPERM)
            printf("\t!%s", error_name(-errno));
        return;
    }
    char *names[512];
    size_t count = 0;
    for (char *p = list; p < list + n && count < 512; p += strlen(p) + 1)
        names[count++] = p;
    qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        ssize_t size = lgetxattr(path, names[i], value, sizeof value);
        printf("\t");
        escaped(names[i], strlen(names[i]));
        printf("=");
        if (size < 0)
            printf("!%s", error_name(-errno));
        else
            escaped(value, (size_t)size);
    }
}

static void entry(const char *path, const char *shown, struct stat *st) {
    if (lstat(path, st) != 0) {
        escaped(shown, strlen(shown));
        printf("\t!%s\n", error_name(-errno));
        st->st_mode = 0;
        return;
    }
    escaped(shown, strlen(shown));
    printf("\t%s\t%04o\t%u\t%u\t%lu\t%lld\t%lld.%09ld\t%lld.%09ld\t%u:%u\t", type_name(st->st_mode),
           st->st_mode & 07777, st->st_uid, st->st_gid, (unsigned long)st->st_nlink, (long long)st->st_size,
           (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec,
           major(st->st_rdev), minor(st->st_rdev));
    if (S_ISREG(st->st_mode))
        contents(path);
    else
        printf("-");
    printf("\t%lld", (long long)st->st_blocks);
    if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))
        of_the_inode(path);
    else
        printf("\t-\t-");
    printf("\t");
    link_group(shown, st);
    printf("\t");
    char target[PATH_MAX];
    ssize_t n = S_ISLNK(st->st_mode) ? readlink(path, target, sizeof target) : 0;
    if (n > 0)
        escaped(target, (size_t)n);
    else
        printf("-");
    xattrs(path);
    printf("\n");
}

/* Works in the directory above `name`, and is there again afterwards, so that depth costs no path length. */
static void walk(const char *name, const char *shown) {
    struct stat st;
    entry(name, shown, &st);
    if (!S_ISDIR(st.st_mode))
        return;
    int above = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = opendir(name);
    if (!dir || above < 0) {
        escaped(shown, strlen(shown));
        printf("\t!%s\n", error_name(-errno));
        if (dir)
            (void)closedir(dir);
        if (above >= 0)
            (void)close(above);
        return;
    }
    char **names = NULL;
    size_t n = 0, space = 0;
    for (struct dirent *d; (errno = 0, d = readdir(dir));) {
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        if (n == space) {
            space = space ? space * 2 : 32;
            names = realloc(names, space * sizeof *names);
            if (!names)
                give_up("memory");
        }
        names[n++] = strdup(d->d_name);
    }
    if (errno) {
        escaped(shown, strlen(shown));
        printf("\t!%s\n", error_name(-errno));
    }
    (void)closedir(dir);
    if (n)
        qsort(names, n, sizeof *names, by_name);
    if (chdir(name) != 0) {
        escaped(shown, strlen(shown));
        printf("\t!%s\n", error_name(-errno));
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        char *below;
        if (asprintf(&below, "%s%s%s", strcmp(shown, ".") ? shown : "", strcmp(shown, ".") ? "/" : "", names[i]) < 0)
            give_up("memory");
        walk(names[i], below);
        free(below);
        free(names[i]);
    }
    free(names);
    if (fchdir(above) != 0)
        give_up("fchdir");
    (void)close(above);
}

int main(int argc, char **argv) {
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "tree: %s: %s\n", argc > 1 ? argv[1] : "usage", strerror(errno));
        return 120;
    }
    walk(".", ".");
    return 0;
}
