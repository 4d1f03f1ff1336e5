/* make_golden_v1 DIR: writes the golden files of format 1, once, at the release that defines it. */
#include "golden_v1.h"
#include <stdio.h>

static uint8_t file[GOLDEN_FILE_MAX];

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_golden_v1 DIR\n");
        return 2;
    }
    for (size_t i = 0; i < KT_ARRAY_LEN(golden_files); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", argv[1], golden_files[i]);
        memset(file, 0, sizeof(file));
        size_t len = golden_build(i, file);
        FILE *f = fopen(path, "wxb");
        if (!f || fwrite(file, 1, len, f) != len || fclose(f) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
