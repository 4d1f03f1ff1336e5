/* machine: the least of physical memory and the limits of our cgroup and of those above it. */
#include "conf/machine.h"

#include "base/enc.h"
#include "base/macros.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_LEN 512

uint64_t machine_limit_of(struct slice text)
{
    uint64_t v;
    while (text.len && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == ' '))
        text.len--;
    return dec_to_u64(text, &v) ? v : UINT64_MAX;
}

/* Up to `size` - 1 bytes of a file, NUL-terminated; false when it can't be read. */
static bool read_file(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    fclose(f);
    return n > 0;
}

static uint64_t limit_in(const char *dir, const char *file)
{
    char path[PATH_LEN + 64], text[64];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    return read_file(path, text, sizeof(text)) ? machine_limit_of(slice_str(text)) : UINT64_MAX;
}

static uint64_t cgroup_limit(void)
{
    char text[1024], dir[PATH_LEN];
    uint64_t least = limit_in("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
    if (!read_file("/proc/self/cgroup", text, sizeof(text)))
        return least;
    char *own = strstr(text, "0::/");
    if (!own)
        return least;
    own += 3;
    own[strcspn(own, "\n")] = 0;
    int n = snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s", own);
    if (n < 0 || (size_t)n >= sizeof(dir))
        return least;
    /* a limit of any cgroup above ours binds us too */
    for (char *end = dir + n; end && strlen(dir) >= strlen("/sys/fs/cgroup");
         end = strrchr(dir, '/')) {
        *end = 0;
        least = KT_MIN(least, limit_in(dir, "memory.max"));
    }
    return least;
}

uint64_t machine_memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t physical = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : GIB(1);
    return KT_MIN(physical, cgroup_limit());
}
