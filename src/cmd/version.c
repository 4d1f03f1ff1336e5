/* version: what this program is and how it was built. */
#include "cmd/cmd.h"
#include "cmd/json.h"
#include "cmd/table.h"

#ifdef KT_FAULTS
#define BUILT_WITH_FAULTS true
#else
#define BUILT_WITH_FAULTS false
#endif

#if defined(__x86_64__)
#define BUILT_FOR "x86_64"
#elif defined(__aarch64__)
#define BUILT_FOR "aarch64"
#else
#define BUILT_FOR "other"
#endif

static int version_run(const struct cmd_args *args)
{
    if (!args->json) {
        printf("kitten %s (%s, %s%s)\n", KITTEN_VERSION, BUILT_FOR, __VERSION__,
               BUILT_WITH_FAULTS ? ", with fault points: not for real data" : "");
        return 0;
    }
    struct json j = json_start(stdout);
    json_open(&j, NULL, '{');
    json_text(&j, "version", KITTEN_VERSION);
    json_text(&j, "machine", BUILT_FOR);
    json_text(&j, "compiler", __VERSION__);
    json_bool(&j, "faults", BUILT_WITH_FAULTS);
    json_close(&j);
    return 0;
}

const struct command cmd_version = {
    .name = "version",
    .operands = "",
    .summary = "print the version",
    .json = true,
    .run = version_run,
};
