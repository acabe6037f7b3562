/* Tells when and where it was compiled. */
#include <assert.h>
#include <stdio.h>

int main(void) {
    assert(sizeof(int) == 4);
    printf("%s %s %s\n", __DATE__, __TIME__, __FILE__);
    return 0;
}
