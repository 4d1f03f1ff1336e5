/* confgen: prints a text made from the table of parameters: `confgen help|file|docs` (make docs).
 */
#include "base/err.h"
#include "conf/conf.h"
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*render)(struct buf *out);
    } texts[] = {
        {"help", conf_render_help}, {"file", conf_render_file}, {"docs", conf_render_docs}};
    struct buf out = BUF_INIT(MIB(1));
    for (size_t i = 0; argc == 2 && i < KT_ARRAY_LEN(texts); i++) {
        if (strcmp(argv[1], texts[i].name) != 0)
            continue;
        int rc = texts[i].render(&out);
        if (rc < 0)
            fprintf(stderr, "confgen: %s\n", err_text(rc));
        else
            fwrite(out.p, 1, out.len, stdout);
        buf_done(&out);
        return rc < 0 || fflush(stdout) != 0;
    }
    fprintf(stderr, "usage: confgen help|file|docs\n");
    return 2;
}
