/* The one table of parameters.
 * SECTION("name", "what it is about") begins a section of kitten.conf.
 * PARAM(name, TYPE, "default", min, max, "unit or choices", reloadable, "prose") is a parameter:
 *   the key in the file, --name-with-dashes, KITTEN_NAME, and a field of struct conf with its unit:
 *   LIST struct conf_list name, TEXT const char *name, FLAG bool name, COUNT uint64_t name,
 *   SIZE uint64_t name_bytes, TIME int64_t name_ms, CHOICE int name (position among the choices).
 * Defaults are in the notation of the file. */
/* clang-format off */
SECTION("server", "Where kitten listens, and how much of the machine it uses.")
PARAM(listen, LIST, "127.0.0.1:9000, [::1]:9000", 1, 16, "address:port", false,
      "Addresses that the HTTP server listens on. The default can be reached from this machine "
      "only.")
PARAM(data, LIST, "", 0, 64, "directory", false,
      "Data directories, one per disk. Given on the command line they replace those of the file.")
PARAM(loops, COUNT, "0", 0, 64, "threads", false,
      "Event loops; each takes connections of its own. 0: one per CPU that this process may use.")
PARAM(workers, COUNT, "0", 0, 256, "threads", false,
      "Threads for calls that block: cold reads, flushes, name lookups. 0: 8 per loop, at most 64.")
PARAM(stop_timeout, TIME, "30s", 0, 3600000, "", true,
      "How long requests in flight may take to end after SIGTERM.")

SECTION("http", "Limits of one client, and of all together.")
PARAM(http_connections, COUNT, "20000", 1, 1000000, "connections", true,
      "Open connections; more are answered 503 and closed.")
PARAM(http_head_limit, SIZE, "32KiB", 1024, 1048576, "", true,
      "Request line and header fields together; more is answered 431.")
PARAM(http_uri_limit, SIZE, "8KiB", 256, 65536, "", true,
      "Request target; more is answered 414.")
PARAM(http_fields, COUNT, "100", 10, 1000, "fields", true,
      "Header fields of a request; more are answered 431.")
PARAM(http_head_timeout, TIME, "10s", 100, 600000, "", true,
      "From the first byte of a request head to its last.")
PARAM(http_idle_timeout, TIME, "75s", 100, 3600000, "", true,
      "How long a connection may wait between requests.")
PARAM(http_body_timeout, TIME, "30s", 100, 3600000, "", true,
      "How long a request body may stand still.")
PARAM(http_send_timeout, TIME, "30s", 100, 3600000, "", true,
      "How long a client may take no byte of an answer.")
PARAM(http_body_rate, SIZE, "1KiB", 0, 1073741824, "per second", true,
      "Slowest upload that is put up with, measured over 10 s. 0: no limit.")
PARAM(http_body_budget, SIZE, "0", 0, 1099511627776, "", false,
      "Memory for request bodies of the whole process; past it uploads are answered 503. 0: a "
      "quarter of the "
      "memory that this process may use, between 64MiB and 8GiB.")
PARAM(max_blob, SIZE, "16MiB", 1, 67108864, "", true,
      "Largest blob; more is answered 413.")
PARAM(signed_url_max_age, TIME, "7d", 1000, 604800000, "", true,
      "Longest time that a signed URL may stay valid.")

SECTION("storage", "Volumes: the append-only files that hold the blobs.")
PARAM(volume_limit, SIZE, "0", 0, 34359738368, "", false,
      "A volume of this size is sealed and a new one begun. 0: 1/128 of the disk, between "
      "256MiB and 32GiB.")
PARAM(open_volumes, COUNT, "4", 1, 64, "volumes", false,
      "Volumes of each disk that take writes at the same time.")
PARAM(reserve, SIZE, "0", 0, 1099511627776, "", false,
      "Space of each disk that only deletes and compaction may use. 0: two volumes, at most "
      "1/16 of the disk.")
PARAM(zero_fill_ahead, FLAG, "no", 0, 1, "", false,
      "Write zeros ahead of the log, so that a flush does not have to change the file's size on "
      "disk.")
PARAM(undelete_window, TIME, "1d", 1000, 31536000000, "", true,
      "How long a deleted blob can be had back. Its space is not reused before.")
PARAM(scrub_period, TIME, "7d", 60000, 31536000000, "", true,
      "Every stored byte is read and verified once in this time.")
PARAM(compact_garbage, COUNT, "30", 1, 99, "percent", true,
      "A sealed volume is compacted when this share of it is dead.")
PARAM(compact_rate, SIZE, "64MiB", 65536, 1099511627776, "per second", true,
      "Most that compaction reads or writes on one disk.")

SECTION("log", "What is written about what happens.")
PARAM(log_level, CHOICE, "info", 0, 3, "error|warn|info|debug", true,
      "Least important lines that are written.")
PARAM(log_format, CHOICE, "logfmt", 0, 1, "logfmt|json", false,
      "key=value lines, or one JSON object a line.")
PARAM(log_file, TEXT, "", 0, 1024, "file", false,
      "Where the log goes. Empty: standard error.")
