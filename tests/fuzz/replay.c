/* replay: the main function of a fuzz target without libFuzzer. Runs it once on every file of the
 * given directories, so that each build, with or without sanitizers, replays the committed corpus.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>

#define INPUT_MAX (1u << 20)

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (!f || !bytes) {
        fprintf(stderr, "replay: can't read %s\n", path);
        exit(1);
    }
    size_t n = fread(bytes, 1, INPUT_MAX, f);
    fclose(f);
    uint8_t *exact = fuzz_copy(slice_of(bytes, n));
    free(bytes);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 1;
}

static int replay_dir(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    if (!d) {
        fprintf(stderr, "replay: can't open %s\n", dir);
        exit(1);
    }
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            n += replay_file(path);
    }
    closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    int n = 0;
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        n += replay_dir(argv[i]);
    printf("1..1\n%s 1 - %d inputs\n", n > 0 ? "ok" : "not ok", n);
    return n > 0 ? 0 : 1;
}
