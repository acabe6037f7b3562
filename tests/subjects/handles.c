/* handles.c - subject: name_to_handle_at and open_by_handle_at on the kernel's overlayfs and in a view.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#define HANDLE_FID 0x200
#define ROOM 128u

static struct {
    struct file_handle head;
    unsigned char bytes[ROOM];
} told, before;

static void ask(const char *path, int flags, unsigned room) {
    int mount = -1;
    memset(&told, 0, sizeof told);
    told.head.handle_bytes = room;
    const char *what = text("%s %x %u", path, flags, room);
    (void)say(what, SYS(name_to_handle_at, AT_FDCWD, path, &told, &mount, flags));
    printf("%s: %u bytes, type %x, mount %s\n", what, told.head.handle_bytes, told.head.handle_type,
           mount == -1 ? "not told" : "told");
}

static void kept(const char *what) {
    ask("file", HANDLE_FID, ROOM);
    printf("%s: handle is %s\n", what, memcmp(&told, &before, sizeof told) ? "another" : "the same");
}

int main(int argc, char **argv) {
    static const char *const paths[] = {"file", "dir", "link", "absent", "noaccess"};
    static const int flags[] = {0, HANDLE_FID, HANDLE_FID | AT_SYMLINK_FOLLOW, HANDLE_FID | 2, 1, 2, 4};
    (void)subject_start(argc, argv);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        for (size_t f = 0; f < sizeof flags / sizeof *flags; f++)
            ask(paths[p], flags[f], ROOM);
    ask("file", HANDLE_FID, 0);
    ask("file", HANDLE_FID, ROOM + 1);
    ask("file", HANDLE_FID, ROOM);
    before = told;
    kept("asked again");
    int base = hold(".", O_RDONLY | O_DIRECTORY);
    (void)say("open", SYS(open_by_handle_at, base, &told, O_RDONLY));
    (void)say("open from the current directory", SYS(open_by_handle_at, AT_FDCWD, &told, O_RDONLY));
    (void)say("open from no descriptor", SYS(open_by_handle_at, 999, &told, O_RDONLY));
    put("file", "copied up");
    kept("copied up");
    ask("dir", HANDLE_FID, ROOM);
    printf("of two objects: %s\n", memcmp(&told, &before, sizeof told) ? "two handles" : "one handle");
    told.head.handle_bytes = 0;
    (void)say("open nothing", SYS(open_by_handle_at, base, &told, O_RDONLY));
    return 0;
}
