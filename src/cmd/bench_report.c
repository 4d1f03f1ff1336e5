/* bench_report: figures per operation; rates are over the measured window. */
#include "cmd/bench_report.h"

#include "base/err.h"
#include "cmd/json.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

static uint64_t total_ops(const struct bench_result *r)
{
    uint64_t sum = 0;
    for (int op = 0; op < OP_COUNT; op++)
        sum += r->tally[op].ops;
    return sum;
}

static double per(double value, double seconds)
{
    return seconds > 0 ? value / seconds : 0;
}

static uint64_t failures(const struct bench_tally *t)
{
    return t->busy + t->not_found + t->resurrected + t->corrupt + t->errors;
}

static double us(const struct bench_tally *t, double percent)
{
    return (double)hist_percentile(&t->latency, percent) / 1e3;
}

/* ---- text ---- */

static void text_row(FILE *out, int op, const struct bench_result *r)
{
    const struct bench_tally *t = &r->tally[op];
    if (t->ops == 0 && failures(t) == 0 && t->raced == 0)
        return;
    fprintf(out, "%-7s %10" PRIu64 " %10.0f %9.1f %9.0f %9.0f %9.0f %9.0f %8" PRIu64 "\n",
            target_op_names[op], t->ops, per((double)t->ops, r->seconds),
            per((double)t->bytes, r->seconds) / 1e6, us(t, 50), us(t, 99), us(t, 99.9),
            (double)t->latency.max / 1e3, failures(t));
}

static void text_failures(FILE *out, const struct bench_tally *t)
{
    if (failures(t) > 0)
        fprintf(out,
                "failures: %" PRIu64 " lost, %" PRIu64 " resurrected, %" PRIu64 " corrupt, %" PRIu64
                " busy, %" PRIu64 " other\n",
                t->not_found, t->resurrected, t->corrupt, t->busy, t->errors);
}

void report_text(FILE *out, const struct bench_config *cfg, const struct bench_result *r)
{
    fprintf(out, "%-7s %10s %10s %9s %9s %9s %9s %9s %8s\n", "op", "count", "per s", "MB/s",
            "p50 us", "p99 us", "p99.9 us", "max us", "failed");
    for (int op = 0; op < OP_COUNT; op++)
        text_row(out, op, r);
    for (int op = 0; op < OP_COUNT; op++)
        text_failures(out, &r->tally[op]);
    if (r->first_error[0])
        fprintf(out, "first failure: %s\n", r->first_error);
    fprintf(out, "%.2f s, %u connections, client CPU %.2f s", r->seconds, cfg->conns,
            r->client_cpu_s);
    if (r->server_cpu_s >= 0)
        fprintf(out, ", server CPU %.2f s, %.0f ops per server CPU second", r->server_cpu_s,
                per((double)total_ops(r), r->server_cpu_s));
    fputc('\n', out);
}

/* ---- JSON ---- */

static void json_latency(struct json *j, const struct bench_tally *t)
{
    json_open(j, "latency_us", '{');
    json_real(j, "min", t->latency.count ? (double)t->latency.min / 1e3 : 0);
    json_real(j, "mean", hist_mean(&t->latency) / 1e3);
    json_real(j, "p50", us(t, 50));
    json_real(j, "p90", us(t, 90));
    json_real(j, "p99", us(t, 99));
    json_real(j, "p999", us(t, 99.9));
    json_real(j, "max", (double)t->latency.max / 1e3);
    json_close(j);
}

static void json_tally(struct json *j, const char *name, const struct bench_result *r,
                       const struct bench_tally *t)
{
    json_open(j, name, '{');
    json_u64(j, "ops", t->ops);
    json_u64(j, "requests", t->requests);
    json_u64(j, "bytes", t->bytes);
    json_real(j, "ops_per_s", per((double)t->ops, r->seconds));
    json_real(j, "bytes_per_s", per((double)t->bytes, r->seconds));
    json_u64(j, "verified", t->verified);
    json_u64(j, "lost", t->not_found);
    json_u64(j, "resurrected", t->resurrected);
    json_u64(j, "corrupt", t->corrupt);
    json_u64(j, "busy", t->busy);
    json_u64(j, "retries", t->retries);
    json_u64(j, "raced", t->raced);
    json_u64(j, "errors", t->errors);
    json_latency(j, t);
    json_close(j);
}

void report_json(FILE *out, const struct bench_config *cfg, const struct bench_result *r)
{
    struct json j = json_start(out);
    json_open(&j, NULL, '{');
    json_text(&j, "endpoint", cfg->target.host);
    json_u64(&j, "concurrency", cfg->conns);
    json_u64(&j, "threads", (uint64_t)cfg->threads);
    json_real(&j, "rate", cfg->rate);
    json_u64(&j, "seed", cfg->seed);
    json_real(&j, "seconds", r->seconds);
    json_u64(&j, "ops", total_ops(r));
    json_real(&j, "ops_per_s", per((double)total_ops(r), r->seconds));
    json_real(&j, "client_cpu_s", r->client_cpu_s);
    if (r->server_cpu_s >= 0) {
        json_real(&j, "server_cpu_s", r->server_cpu_s);
        json_real(&j, "ops_per_server_cpu_s", per((double)total_ops(r), r->server_cpu_s));
    }
    json_u64(&j, "connects", r->connects);
    json_bool(&j, "clean", run_is_clean(r));
    json_text(&j, "first_failure", r->first_error[0] ? r->first_error : NULL);
    json_open(&j, "by_op", '{');
    for (int op = 0; op < OP_COUNT; op++) {
        const struct bench_tally *t = &r->tally[op];
        if (t->ops > 0 || failures(t) > 0)
            json_tally(&j, target_op_names[op], r, t);
    }
    json_close(&j);
    json_close(&j);
}

/* ---- CSV ---- */

static void csv_row(FILE *f, int op, const struct bench_config *cfg, const struct bench_result *r)
{
    const struct bench_tally *t = &r->tally[op];
    if (t->ops == 0 && failures(t) == 0)
        return;
    fprintf(
        f, "%s,%s,%u,%.3f,%" PRIu64 ",%" PRIu64 ",%.1f,%.1f,%.1f,%.1f,%.1f,%" PRIu64 ",%.2f,%.2f\n",
        cfg->target.host, target_op_names[op], cfg->conns, r->seconds, t->ops, t->bytes,
        per((double)t->ops, r->seconds), us(t, 50), us(t, 99), us(t, 99.9),
        (double)t->latency.max / 1e3, failures(t), r->server_cpu_s, r->client_cpu_s);
}

int report_csv(const char *path, const struct bench_config *cfg, const struct bench_result *r)
{
    FILE *f = fopen(path, "ae");
    if (!f)
        return err_sys(errno, "open %s", path);
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) == 0)
        fputs("endpoint,op,concurrency,seconds,ops,bytes,ops_per_s,p50_us,p99_us,p999_us,max_us,"
              "failed,"
              "server_cpu_s,client_cpu_s\n",
              f);
    for (int op = 0; op < OP_COUNT; op++)
        csv_row(f, op, cfg, r);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return err_sys(errno ? errno : EIO, "write %s", path);
    return 0;
}
