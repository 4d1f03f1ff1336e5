/* progress: formats "what  [####----]  45%  12,345 files  1,234/s  0:12 left". */
#include "cmd/progress.h"

#include "base/macros.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_CELLS 30
#define REDRAW_NS (NS_PER_SEC / 10)
#define LINE_NS (NS_PER_SEC * 10)

void progress_init(struct progress *p, FILE *out, const char *what, const char *unit,
                   uint64_t total, int64_t now_ns)
{
    const char *term = getenv("TERM");
    bool dumb = !term || strcmp(term, "dumb") == 0;
    *p = (struct progress){.out = out, .what = what, .unit = unit, .total = total};
    p->started_ns = now_ns;
    p->quiet = out == NULL;
    p->terminal = out && isatty(fileno(out)) && !dumb;
    p->color = p->terminal && !getenv("NO_COLOR");
}

static void draw_bar(struct progress *p, uint64_t done)
{
    uint64_t part = KT_MIN(done, p->total);
    int cells = (int)(part * BAR_CELLS / p->total);
    fprintf(p->out, " %s[", p->color ? "\033[32m" : "");
    for (int i = 0; i < BAR_CELLS; i++)
        fputc(i < cells ? '#' : '-', p->out);
    fprintf(p->out, "]%s %3" PRIu64 "%%", p->color ? "\033[0m" : "", part * 100 / p->total);
}

static void draw(struct progress *p, uint64_t done, int64_t now_ns)
{
    double seconds = (double)(now_ns - p->started_ns) / 1e9;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    fprintf(p->out, "%s%s", p->terminal ? "\r\033[K" : "", p->what);
    if (p->total > 0)
        draw_bar(p, done);
    fprintf(p->out, " %" PRIu64 " %s %.0f/s", done, p->unit, rate);
    if (p->total > done && rate > 0) {
        uint64_t left_s = (uint64_t)((double)(p->total - done) / rate);
        fprintf(p->out, " %" PRIu64 ":%02" PRIu64 " left", left_s / 60, left_s % 60);
    }
    if (!p->terminal)
        fputc('\n', p->out);
    fflush(p->out);
    p->shown_ns = now_ns;
}

void progress_show(struct progress *p, uint64_t done, int64_t now_ns)
{
    int64_t since = now_ns - (p->shown_ns ? p->shown_ns : p->started_ns);
    if (!p->quiet && since >= (p->terminal ? REDRAW_NS : LINE_NS))
        draw(p, done, now_ns);
}

void progress_end(struct progress *p, uint64_t done, int64_t now_ns)
{
    if (p->quiet)
        return;
    draw(p, done, now_ns);
    if (p->terminal)
        fputc('\n', p->out);
}
