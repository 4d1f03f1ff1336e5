/* Two tables, included with DIM or METRIC defined (both must be).
 * DIM(NAME, "label", slots, "value"...): a label. `slots` 0: exactly the values named; else up to
 * that many values, taken as they come. Both kinds end in "other", so that a label is always
 * bounded. METRIC(NAME, "exposed name", KIND, DIM1, DIM2, DIM3, "help"): names are a stable
 * interface; NONE: no label. Histograms are in seconds and recorded in ns. */
/* clang-format off */
DIM(NONE,   "",       0, "")
DIM(API,    "api",    0, "get", "head", "put", "delete", "undelete", "batch_get", "batch_put",
                         "bucket", "key", "status", "health", "metrics", "bench")
DIM(CODE,   "code",   0, "200", "201", "204", "206", "304", "400", "401", "403", "404", "405",
                         "408", "409", "411", "412", "413", "414", "416", "417", "431", "499",
                         "500",
                         "501", "503", "504", "507")
DIM(BUCKET, "bucket", 32, NULL)
DIM(DISK,   "disk",   16, NULL)
DIM(DIR,    "dir",    0, "in", "out")
DIM(REASON, "reason", 0, "connections", "budget", "framing", "timeout", "draining")
DIM(OP,     "op",     0, "read", "write", "sync")
DIM(SPACE,  "state",  0, "live", "garbage", "free", "total")
DIM(DSTATE, "state",  0, "ok", "full", "draining", "failed")
DIM(VSTATE, "state",  0, "open", "sealed", "fenced", "damaged")
DIM(WHERE,  "where",  0, "get", "recovery", "scrub", "compact", "fsck")
DIM(JOB,    "kind",   0, "scrub", "compact", "recover")
DIM(LEVEL,  "level",  0, "error", "warn", "info", "debug")
DIM(CONN,   "state",  0, "active", "parked")
DIM(VERSION,"version",1, NULL)

METRIC(BUILD_INFO, "kitten_build_info", GAUGE, VERSION, NONE, NONE,
       "always 1; the version is the label")
METRIC(START_TIME, "kitten_start_time_seconds", GAUGE, NONE, NONE, NONE,
       "when the process started, Unix seconds")
METRIC(HTTP_REQUESTS, "kitten_http_requests_total", COUNTER, API, CODE, BUCKET,
       "requests answered")
METRIC(HTTP_REQUEST_TIME, "kitten_http_request_seconds", HISTOGRAM, API, NONE, NONE,
       "from the end of the head to the last byte of the answer")
METRIC(HTTP_TTFB, "kitten_http_ttfb_seconds", HISTOGRAM, API, NONE, NONE,
       "from the end of the head to the first byte of the answer")
METRIC(HTTP_INFLIGHT, "kitten_http_inflight", GAUGE, API, NONE, NONE,
       "requests being answered")
METRIC(HTTP_REJECTED, "kitten_http_rejected_total", COUNTER, REASON, NONE, NONE,
       "requests and connections turned away")
METRIC(HTTP_CONNECTIONS, "kitten_http_connections", GAUGE, CONN, NONE, NONE,
       "open connections")
METRIC(HTTP_BYTES, "kitten_http_bytes_total", COUNTER, DIR, BUCKET, NONE,
       "body bytes received and sent")
METRIC(HTTP_BUDGET, "kitten_http_body_budget_bytes", GAUGE, NONE, NONE, NONE,
       "memory held by request bodies")
METRIC(STORE_NEEDLE_BYTES, "kitten_store_needle_bytes_total", COUNTER, OP, DISK, NONE,
       "needle bytes read and written, padding and headers included")
METRIC(STORE_DISK_TIME, "kitten_store_disk_seconds", HISTOGRAM, OP, DISK, NONE,
       "how long disk calls took")
METRIC(STORE_GROUPS, "kitten_store_groups_total", COUNTER, DISK, NONE, NONE,
       "groups committed by one write and one sync")
METRIC(STORE_GROUP_NEEDLES, "kitten_store_group_needles_total", COUNTER, DISK, NONE, NONE,
       "needles in those groups")
METRIC(DISK_BYTES, "kitten_disk_bytes", GAUGE, DISK, SPACE, NONE,
       "space of a data directory")
METRIC(DISK_STATE, "kitten_disk_state", GAUGE, DISK, DSTATE, NONE,
       "1 for the state that the disk is in")
METRIC(VOLUMES, "kitten_volumes", GAUGE, VSTATE, NONE, NONE,
       "volumes by state")
METRIC(CRC_ERRORS, "kitten_crc_errors_total", COUNTER, WHERE, NONE, NONE,
       "stored bytes that failed their checksum")
METRIC(SCRUB_OLDEST, "kitten_scrub_oldest_seconds", GAUGE, NONE, NONE, NONE,
       "time since the volume scrubbed longest ago was scrubbed")
METRIC(JOB_BYTES, "kitten_job_bytes_total", COUNTER, JOB, NONE, NONE,
       "bytes that background jobs have gone through")
METRIC(LOG_LINES, "kitten_log_lines_total", COUNTER, LEVEL, NONE, NONE,
       "log lines by level")
METRIC(LOG_DROPPED, "kitten_log_dropped_total", COUNTER, NONE, NONE, NONE,
       "log lines lost because the writer could not keep up")
METRIC(FIBERS, "kitten_fibers", GAUGE, NONE, NONE, NONE,
       "fibers alive")
METRIC(OFFLOADS, "kitten_offloads_total", COUNTER, NONE, NONE, NONE,
       "calls handed to worker threads")
METRIC(OFFLOAD_QUEUE, "kitten_offload_queue", GAUGE, NONE, NONE, NONE,
       "calls waiting for a worker thread")
METRIC(STACK_HIGH_WATER, "kitten_stack_high_water_bytes", GAUGE, NONE, NONE, NONE,
       "deepest fiber stack so far")
