/* deep.c - subject: directories deeper than PATH_MAX, reached step by step.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    static char name[256];
    memset(name, 'n', 250);
    long result = 0;
    int depth = 0;
    for (; depth < 20; depth++) {
        result = SYS(mkdir, name, 0755);
        if (result < 0)
            break;
        result = SYS(chdir, name);
        if (result < 0)
            break;
    }
    (void)say("twenty levels of 250", result);
    char path[3 * PATH_MAX];
    if (depth == 20) {
        (void)say("getcwd beyond PATH_MAX", SYS(getcwd, path, sizeof path));
        (void)say("create there", put("x", "deep"));
        show_content("read there", "x");
        show_list("list there", ".");
        (void)SYS(unlink, "x");
    }
    (void)SYS(rmdir, name);
    result = 0;
    while (depth-- > 0 && result == 0) {
        result = SYS(chdir, "..");
        if (result == 0)
            result = SYS(rmdir, name);
    }
    (void)say("removed again", result);
    show_list("all gone", ".");
    return 0;
}
